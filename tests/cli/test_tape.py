"""The tape verb: exit codes, one JSON object, nothing left behind."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.market.tapes import edit_description, tamper
from tests.venues.captures import good, recorded, save
from tests.venues.feeds import bybit_book, encoded, recorded_at, upbit_book

from interlock.cli import exit_codes
from interlock.cli.main import main
from interlock.cli.progress import LateProgress
from interlock.domain.clock import ManualClock
from interlock.market.tape import Rows


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return save(tmp_path / "c.gz", recorded(good()))


@pytest.fixture
def tape(tmp_path: Path, capture: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "t"
    assert main(["tape", "import", "binance-usdm-raw", str(capture), "--out", str(out)]) == exit_codes.DONE
    capsys.readouterr()
    return out


def one_object(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    shown = capsys.readouterr()
    assert shown.err == ""
    found: dict[str, Any] = json.loads(shown.out)
    return found


def test_import_and_info_for_a_script(tmp_path: Path, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t"
    arguments = ["tape", "import", "binance-usdm-raw", str(capture), "--out", str(out), "--json"]
    assert main([*arguments, "--assumed-latency-ms", "2.5"]) == exit_codes.DONE
    made = one_object(capsys)
    assert (made["rows"], made["frames"], made["clock"]["floor_ns"]) == (19, 11, 2_500_000)
    assert main(["tape", "info", str(out), "--json"]) == exit_codes.DONE
    assert one_object(capsys) == made


@pytest.mark.parametrize(
    ("form", "message", "instrument"),
    [
        ("upbit-raw", upbit_book(0, [(100_000, 1)], [(101_000, 1)]), "upbit:KRW-BTC"),
        ("bybit-v5-raw", bybit_book("snapshot", 5, [("100.0", "1")], [("100.1", "1")], 0), "bybit:BTCUSDT"),
    ],
)
def test_captures_of_other_venues(tmp_path: Path, form: str, message: Any, instrument: str, capsys: pytest.CaptureFixture[str]) -> None:
    capture = save(tmp_path / "c", recorded_at([encoded(message)]))
    out = tmp_path / "t"
    assert main(["tape", "import", form, str(capture), "--out", str(out)]) == exit_codes.DONE
    assert f"instruments: {instrument}\n" in capsys.readouterr().out
    assert main(["tape", "verify", str(out)]) == exit_codes.DONE
    assert "frame_content: 0 wrong of 1\n" in capsys.readouterr().out
    assert main(["tape", "import", "binance-usdm-raw", str(capture), "--out", str(tmp_path / "u")]) == exit_codes.USAGE
    assert f"{capture}, line 1: " in capsys.readouterr().err


def test_info_and_verify_for_a_person(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tape", "info", str(tape)]) == exit_codes.DONE
    text = capsys.readouterr().out
    assert "instruments: binance_usdm:BTCUSDT\n" in text
    assert "feed_latency=assumed" in text
    assert main(["tape", "verify", str(tape)]) == exit_codes.DONE
    text = capsys.readouterr().out
    assert "venue_top_agrees: 0 wrong of 3\n" in text
    assert text.endswith("passed\n")


def test_a_defect_is_exit_code_1(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(rows: Rows) -> None:
        rows["lots"][10] += 1

    tamper(tape, "rows.npy", change)
    assert main(["tape", "verify", str(tape), "--json"]) == exit_codes.REFUSED
    report = one_object(capsys)
    assert not report["passed"]
    assert {c["name"] for c in report["checks"] if c["defects"]} == {"venue_top_agrees"}


def test_damage_is_exit_code_3(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((tape / "rows.npy").read_bytes())
    data[-1] ^= 1
    (tape / "rows.npy").write_bytes(data)
    assert main(["tape", "verify", str(tape), "--json"]) == exit_codes.DAMAGED
    assert one_object(capsys)["error"]["kind"] == "DamagedState"


def test_wrong_input_and_usage_are_exit_code_2(tmp_path: Path, tape: Path, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = save(tmp_path / "text", [b"no capture"])
    for arguments in (
        ["import", "binance-usdm-raw", str(text), "--out", str(tmp_path / "u")],
        ["import", "binance-usdm-raw", str(capture), "--out", str(tape)],
        ["import", "binance-usdm-raw", str(capture), "--out", str(tmp_path / "u"), "--instrument", str(text)],
        ["import", "binance-usdm-raw", str(capture), "--out", str(tmp_path / "u"), "--instrument", "absent"],
        ["import", "binance-usdm-raw", str(capture), "--out", str(tmp_path / "u"), "--assumed-latency-ms", "-1"],
        ["import", "parquet", str(capture), str(text), "--out", str(tmp_path / "u")],
        ["import", "guess", str(capture), "--out", str(tmp_path / "u")],
        ["import", "binance-usdm-raw", str(capture)],
        ["info", str(tmp_path)],
        ["verify", str(tmp_path / "absent")],
    ):
        assert main(["tape", *arguments, "--json"]) == exit_codes.USAGE, arguments
        assert set(one_object(capsys)) == {"error"}
    edit_description(tape, lambda described: described.update(version=99))
    assert main(["tape", "info", str(tape)]) == exit_codes.USAGE
    assert "expected tape version" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.gz", "t", "text"]


def test_parquet_out_and_in(tmp_path: Path, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "t.parquet"
    assert main(["tape", "export", str(tape), "--out", str(file), "--json"]) == exit_codes.DONE
    assert one_object(capsys)["rows"] == 19
    assert main(["tape", "import", "parquet", str(file), "--out", str(tmp_path / "u"), "--json"]) == exit_codes.DONE
    made = one_object(capsys)
    assert (made["rows"], made["frames"]) == (19, 0)
    assert main(["tape", "export", str(tape), "--out", str(file)]) == exit_codes.USAGE


def test_an_instrument_file(tmp_path: Path, tape: Path, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tape", "info", str(tape), "--json"]) == exit_codes.DONE
    instruments = one_object(capsys)["instruments"]
    instruments[0]["quantum"] = "0.05"
    file = tmp_path / "i.json"
    for content in (instruments, instruments[0]):
        file.write_text(json.dumps(content))
        out = tmp_path / f"with-{type(content).__name__}"
        arguments = ["tape", "import", "binance-usdm-raw", str(capture), "--out", str(out), "--json"]
        assert main([*arguments, "--instrument", str(file)]) == exit_codes.DONE
        assert one_object(capsys)["instruments"][0]["quantum"] == "0.05"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_silent_for_two_seconds_and_off_a_terminal(terminal: bool) -> None:
    clock, shown = ManualClock(), StringIO()
    with LateProgress(clock, "importing t", 10, Console(file=shown, force_terminal=terminal)) as progress:
        clock.advance(1_900_000_000)
        progress(4)
        assert shown.getvalue() == ""
        clock.advance(200_000_000)
        progress(4)
    assert ("importing t" in shown.getvalue()) == terminal
    assert terminal or shown.getvalue() == ""
