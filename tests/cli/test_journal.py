"""The journal verb: exit codes, one JSON object, nothing half-written, and nothing that disturbs the writer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.cli import exit_codes
from interlock.cli.main import main
from interlock.gate.journal import Journal, Options, SystemDisk, open_journal
from interlock.gate.records import SCHEMA, Deny, KillEffective, LatchSet, Level, Scope, Tick, encode

OPTIONS = Options(segment_bytes=16 << 10, batch_bytes=2 << 10, reserve_bytes=0)
RECORDS = [encode(Tick(boot_ns=number, wall_ns=2 * number)) for number in range(40)]


def opened(folder: Path) -> Journal:
    return open_journal(SystemDisk(), folder, schema=SCHEMA, incarnation=bytes(16), options=OPTIONS)[0]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Journal]:
    journal = opened(tmp_path / "j")
    for record in RECORDS:
        journal.commit(record)
    yield journal
    journal.close()


@pytest.fixture
def folder(tmp_path: Path, writer: Journal) -> Path:
    """A journal that is being written."""
    return tmp_path / "j"


def one_object(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    shown = capsys.readouterr()
    assert shown.err == ""
    found: dict[str, Any] = json.loads(shown.out)
    return found


def test_verify(folder: Path, writer: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    writer.write_snapshot(writer.durable_mark, bytes(32), b"state")
    assert main(["journal", "verify", str(folder), "--json"]) == exit_codes.DONE
    found = one_object(capsys)
    assert (found["records"], found["last_lsn"], found["snapshot_lsn"], found["sealed"], found["torn"]) == (40, 40, 40, False, None)
    assert found["segments"] > 1
    assert main(["journal", "verify", str(folder)]) == exit_codes.DONE
    text = capsys.readouterr().out
    assert "last_lsn: 40\n" in text
    assert "torn: none\n" in text
    assert text.endswith("whole\n")


def test_a_torn_tail_is_told_and_damage_is_exit_code_3(folder: Path, writer: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    newest = sorted(folder.glob("*.seg"))[-1]
    whole = newest.read_bytes()
    end = (len(whole.rstrip(b"\0")) // 512) * 512
    newest.write_bytes(whole[: end + 40] + b"\xff" + whole[end + 41 :])
    assert main(["journal", "verify", str(folder)]) == exit_codes.DONE
    assert capsys.readouterr().out.endswith("cut off\n")
    assert main(["journal", "verify", str(folder), "--json"]) == exit_codes.DONE
    found = one_object(capsys)
    assert found["torn"] == {"file": str(newest), "offset": end}
    assert (found["last_lsn"], found["barrier_lsn"]) == (39, 38)
    newest.write_bytes(whole)
    first = sorted(folder.glob("*.seg"))[0]
    damaged = bytearray(first.read_bytes())
    damaged[520] ^= 1
    first.write_bytes(damaged)
    for command in (["verify"], ["export", "--out", str(folder.parent / "out")], ["tail", "--from-lsn", "1"]):
        assert main(["journal", command[0], str(folder), *command[1:], "--json"]) == exit_codes.DAMAGED
        error = one_object(capsys)["error"]
        assert error["kind"] == "DamagedState"
        assert f"{first}, offset 512" in error["message"]
    assert not (folder.parent / "out").exists()


def test_tail_shows_the_last_or_from_a_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "tail", str(folder)]) == exit_codes.DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert lines[-1] == "40 tick boot_ns=39 wall_ns=78"
    assert main(["journal", "tail", str(folder), "--from-lsn", "39", "--json"]) == exit_codes.DONE
    assert one_object(capsys)["records"] == [{"lsn": n + 1, "record": {"k": "tick", "boot_ns": n, "wall_ns": 2 * n}} for n in (38, 39)]
    assert main(["journal", "tail", str(folder), "--from-lsn", "41", "--json"]) == exit_codes.DONE
    assert one_object(capsys)["records"] == []


def test_tail_follows_until_ctrl_c(folder: Path, writer: Journal) -> None:
    for arguments, expected in (
        (["--json"], '{"lsn": 40, "record": {"k": "tick", "boot_ns": 39, "wall_ns": 78}}'),
        ([], "41 kill boot_ns=7"),
    ):
        with subprocess.Popen(
            [sys.executable, "-m", "interlock", "journal", "tail", str(folder), "--follow", "--from-lsn", str(writer.last_lsn), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stdout.readline().strip() == expected
            writer.commit(encode(KillEffective(boot_ns=7)))
            following = process.stdout.readline().strip()
            assert (json.loads(following)["record"]["k"] if arguments else following.split()[1]) == "kill"
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=20)
            assert process.returncode == exit_codes.INTERRUPTED
            assert not arguments or json.loads(rest)["error"]["kind"] == "Interrupted"


def test_what_comes_while_following_is_shown(
    folder: Path, writer: Journal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    def sleep(_seconds: float) -> None:
        waits.append(writer.commit(encode(KillEffective(boot_ns=7))))
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert main(["journal", "tail", str(folder), "--follow"]) == exit_codes.INTERRUPTED
    shown = capsys.readouterr().out.splitlines()
    assert (len(shown), shown[-2:]) == (22, ["41 kill boot_ns=7", "42 kill boot_ns=7"])


def test_export_gives_every_record(folder: Path, writer: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latch = LatchSet(boot_ns=1, name="n", scope=Scope.ALL, subject="", level=Level.HALT, reason="größer", actor="me", evidence={"a": "b"})
    writer.commit(encode(latch), encode(Deny(boot_ns=2, client_id="c", strategy="s", rule="r", detail="d")))
    out = tmp_path / "out.jsonl"
    assert main(["journal", "export", str(folder), "--out", str(out), "--json"]) == exit_codes.DONE
    assert (one_object(capsys)["records"], writer.last_lsn) == (42, 42)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["lsn"] for line in lines] == list(range(1, 43))
    assert lines[40]["record"]["reason"] == "größer"
    assert main(["journal", "tail", str(folder), "--from-lsn", "41"]) == exit_codes.DONE
    assert 'evidence={"a": "b"}' in capsys.readouterr().out
    assert main(["journal", "export", str(folder), "--out", str(out)]) == exit_codes.USAGE
    assert main(["journal", "export", str(folder), "--out", str(tmp_path / "no" / "out")]) == exit_codes.USAGE
    assert "expected a file that can be written" in capsys.readouterr().err
    assert main(["journal", "export", str(folder), "--out", str(tmp_path / "two")]) == exit_codes.DONE
    assert capsys.readouterr().out == f"{tmp_path / 'two'}: 42 records\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "out.jsonl", "two"]


def test_archive(folder: Path, writer: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "archive", str(folder)]) == exit_codes.DONE
    assert capsys.readouterr().out.startswith("0 segments packed, ")
    writer.write_snapshot(writer.durable_mark, bytes(32), b"state")
    segments = len(list(folder.glob("*.seg")))
    assert main(["journal", "archive", str(folder), "--json"]) == exit_codes.DONE
    found = one_object(capsys)
    assert (len(found["archived"]), found["segments_left"]) == (segments - 1, 1)
    assert main(["journal", "verify", str(folder), "--json"]) == exit_codes.DONE
    found = one_object(capsys)
    assert (found["records"], found["archived"]) == (40, segments - 1)


def test_archive_for_a_person(folder: Path, writer: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    writer.write_snapshot(writer.durable_mark, bytes(32), b"state")
    assert main(["journal", "archive", str(folder)]) == exit_codes.DONE
    assert f"00000000000000000001.seg.xz: {OPTIONS.segment_bytes} bytes in " in capsys.readouterr().out


def test_what_is_no_journal_is_exit_code_2_and_other_records_are_3(
    folder: Path, writer: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        for command in ("verify", "tail", "archive"):
            assert main(["journal", command, str(tmp_path / name), "--json"]) == exit_codes.USAGE
            assert one_object(capsys)["error"]["kind"] == "BadInput"
    assert main(["journal", "tail", str(folder), "--from-lsn", "0", "--json"]) == exit_codes.USAGE
    capsys.readouterr()
    assert main(["journal", "verify", str(folder)]) == exit_codes.DONE
    capsys.readouterr()
    writer.commit(b"no record")
    newest = max(folder.glob("*.seg"))
    for command, *more in (["verify"], ["tail"], ["export", "--out", str(tmp_path / "out")]):
        assert main(["journal", command, str(folder), *more, "--json"]) == exit_codes.DAMAGED
        assert f"{newest}, record 41: expected a record of schema" in one_object(capsys)["error"]["message"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "j"]
