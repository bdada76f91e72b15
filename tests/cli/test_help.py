"""The command as a person meets it: quick help, one message for an error, meaningful exit codes."""

import importlib
import json
import subprocess
import sys

import pytest

from interlock.cli import exit_codes
from interlock.cli import main as cli
from interlock.domain.errors import BadInput, DamagedState, Refused

SLOW = ("aiohttp", "numba", "numpy", "pyarrow", "pydantic")

LIST_SLOW_AFTER_HELP = f"""
import sys
from interlock.cli.main import main
code = main(["--help"])
print("imported:", *[name for name in {SLOW} if name in sys.modules])
sys.exit(code)
"""


def test_help_imports_nothing_slow() -> None:
    done = subprocess.run([sys.executable, "-c", LIST_SLOW_AFTER_HELP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (exit_codes.DONE, "")
    assert done.stdout.splitlines()[-1].strip() == "imported:"


def test_help_lists_every_verb_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == exit_codes.DONE
    shown = " ".join(capsys.readouterr().out.split())
    for verb, _, line in cli.VERBS:
        assert verb in shown
        assert line.split()[0] in shown


@pytest.mark.parametrize(("verb", "target", "line"), cli.VERBS, ids=[verb for verb, _, _ in cli.VERBS])
def test_every_verb_exists_and_has_one_line_of_help(verb: str, target: str, line: str) -> None:
    module, _, name = target.partition(":")
    assert module.startswith("interlock.cli.")
    assert callable(getattr(importlib.import_module(module), name))
    assert line.endswith(".")
    assert "\n" not in line


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "interlock", "version", "--json"], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"interlock", "python"}


@pytest.mark.parametrize("arguments", [["--help"], ["version", "--json"]])
def test_a_reader_that_goes_away_is_no_traceback(arguments: list[str]) -> None:
    for closed in (False, True):
        with subprocess.Popen(
            [sys.executable, "-m", "interlock", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stderr
            if closed:
                process.stdout.close()
            else:
                assert "interlock" in process.stdout.read()
            assert process.stderr.read() == ""
        assert process.returncode == (exit_codes.REFUSED if closed else exit_codes.DONE)


def test_version_for_a_person_and_for_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == exit_codes.DONE
    text = capsys.readouterr().out
    assert cli.main(["version", "--json"]) == exit_codes.DONE
    found = json.loads(capsys.readouterr().out)
    assert text == f"interlock {found['interlock']}, Python {found['python']}\n"


@pytest.mark.parametrize("wrong", [["no-such-verb"], ["version", "--no-such-option"], ["version", "extra"]])
def test_wrong_usage_exits_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(wrong) == exit_codes.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("interlock: ")
    assert wrong[-1] in shown.err

    assert cli.main([*wrong, "--json"]) == exit_codes.USAGE
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["kind"] == "UsageError"
    assert shown.err == ""


def raise_what_is_asked(error: str, *, json: bool = False) -> int:
    """Stand in for a verb that ends the way `error` says."""
    match error:
        case "refused":
            raise Refused("the limit is 3, asked for 4: ask for less")
        case "bad-input":
            raise BadInput("prices.csv", "line 7", "expected a number, found 'x'")
        case "damaged":
            raise DamagedState("the journal ends inside a record")
        case "interrupt":
            raise KeyboardInterrupt
        case "defect":
            raise ZeroDivisionError("a defect")
    return int(error)


@pytest.fixture
def a_failing_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    target = f"{__name__}:{raise_what_is_asked.__name__}"
    monkeypatch.setattr(cli, "VERBS", (*cli.VERBS, ("end", target, "End in some way.")))


@pytest.mark.usefixtures("a_failing_verb")
@pytest.mark.parametrize(
    ("how", "code", "kind", "message"),
    [
        ("refused", exit_codes.REFUSED, "Refused", "the limit is 3"),
        ("bad-input", exit_codes.USAGE, "BadInput", "prices.csv, line 7: expected a number"),
        ("damaged", exit_codes.DAMAGED, "DamagedState", "the journal ends"),
        ("interrupt", exit_codes.INTERRUPTED, "Interrupted", "interrupted"),
    ],
)
def test_an_error_is_one_message_and_an_exit_code(how: str, code: int, kind: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["end", how]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"interlock: {message}")
    assert shown.err.count("\n") == 1

    assert cli.main(["end", how, "--json"]) == code
    shown = capsys.readouterr()
    assert shown.err == ""
    error = json.loads(shown.out)["error"]
    assert error["kind"] == kind
    assert error["message"].startswith(message)


@pytest.mark.usefixtures("a_failing_verb")
def test_a_verb_gives_its_own_exit_code() -> None:
    assert cli.main(["end", "0"]) == exit_codes.DONE
    assert cli.main(["end", "1"]) == exit_codes.REFUSED


@pytest.mark.usefixtures("a_failing_verb")
def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        cli.main(["end", "defect", "--json"])
