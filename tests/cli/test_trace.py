"""The trace verb: exit codes, one JSON object, beats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.trace import journals as j
from tests.trace.journals import cid

from interlock.cli import exit_codes
from interlock.cli.main import main


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return j.write(tmp_path / "good", j.honest())


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return j.write(tmp_path / "bad", [*j.honest(), j.wire(cid(1), 31)])


def test_check_for_a_script(tmp_path: Path, good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    witness = j.save(tmp_path / "w", j.lines_of(j.honest()))
    assert main(["trace", "check", str(good), "--witness", str(witness), "--json"]) == exit_codes.DONE
    report = json.loads(capsys.readouterr().out)
    assert (report["violations"], report["lives"], report["witness_lines"]) == ([], 1, len(j.lines_of(j.honest())))
    assert main(["trace", "check", str(bad), "--json"]) == exit_codes.REFUSED
    report = json.loads(capsys.readouterr().out)
    assert {one["invariant"] for one in report["violations"]} == {"S3", "S8"}
    assert "S1" in report["not_checked"]


def test_check_for_a_person(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "check", str(good)]) == exit_codes.DONE
    text = capsys.readouterr().out
    assert "S1 not checked: no witness of the venue was given\n" in text
    assert "S11 in part not checked" in text
    assert text.endswith("0 violations\n")
    assert main(["trace", "check", str(bad)]) == exit_codes.REFUSED
    assert "violation S8, record " in capsys.readouterr().out


def test_what_cannot_be_read_has_its_own_exit_code(tmp_path: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = next(good.glob("*.seg"))
    image = bytearray(segment.read_bytes())
    image[700] ^= 1
    segment.write_bytes(bytes(image))
    assert main(["trace", "check", str(good), "--json"]) == exit_codes.DAMAGED
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "DamagedState"
    assert main(["trace", "check", str(tmp_path / "none")]) == exit_codes.USAGE


def test_watch_beats(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "watch", str(good), "--beat-ms", "10", "--for-s", "0.05", "--json"]) == exit_codes.DONE
    beats = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(beats) >= 2
    assert [one["beat"] for one in beats] == list(range(1, len(beats) + 1))
    assert main(["trace", "watch", str(bad), "--for-s", "0"]) == exit_codes.REFUSED
    assert "S8" in capsys.readouterr().out
    assert main(["trace", "watch", str(good), "--beat-ms", "5000"]) == exit_codes.USAGE
