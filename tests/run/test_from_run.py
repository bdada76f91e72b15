"""A run decided again: whatever is otherwise in the engine's log or in the journal is found, and named; what a kill takes away is no difference."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.run.recorded_run import BOOT_NS, EPOCH_NS, PLAN, SMALL, RecordedRun, S, blocks, frame, header, permit_of, rewrite

from interlock.cli.main import main
from interlock.domain.orders import Side, TimeInForce
from interlock.engine.again import core_of
from interlock.engine.core import told_actions
from interlock.engine.inputs import VERSION, Input, InputLog, InputsRead, Kind
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, open_journal

Records = list[r.Record]
Inputs = list[Input]
MIDDLE = 10
"""Of the intents, which are some two dozen."""


@pytest.fixture(scope="module")
def two_lives(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    """A run of two engine lives; nobody changes it."""
    run = RecordedRun(tmp_path_factory.mktemp("run"))
    run.live()
    run.live(began_s=60.0)
    run.write_journal()
    return run


@pytest.fixture
def run(two_lives: RecordedRun, tmp_path: Path) -> RecordedRun:
    """A copy that may be changed."""
    shutil.copytree(two_lives.folder, tmp_path / "run")
    return RecordedRun(tmp_path / "run", list(two_lives.records))


def first_log(run: RecordedRun) -> Path:
    return min((run.folder / "engine").glob("inputs-*.log"))


def again(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    code = main(["replay", "--from-run", str(run.folder), "--json"])
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return code, json.loads(printed)


def intents(records: Records) -> list[r.Intent]:
    return [one for one in records if isinstance(one, r.Intent)]


def changed(records: Records, **changes: Any) -> tuple[Records, r.Intent]:
    """The records with one intent changed; and that intent as it was."""
    one = intents(records)[MIDDLE]
    return [msgspec.structs.replace(one, **changes) if each is one else each for each in records], one


def test_a_run_that_nobody_touched_is_the_same(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """The control of all tests below: it compares what they change."""
    code, told = again(run, capsys)
    assert (code, told["result"], told["mismatch"], told["logs"], told["cut"], told["beyond"]) == (0, "SAME", None, 2, 0, 0)
    assert told["intents"] == told["proposals"] == len(intents(run.records)) > 2 * MIDDLE
    assert told["cancels"] == sum(isinstance(one, r.CancelWanted) for one in run.records) > MIDDLE


# In the journal


@pytest.mark.parametrize(
    "changes",
    [
        {"ticks": 1},
        {"lots": 7},
        {"side": Side.SELL},
        {"tif": TimeInForce.IOC},
        {"reduce_only": True},
        {"symbol": "ETHUSDT"},
        {"venue": "upbit"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_intent_that_says_something_else_is_named(changes: Any, run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    name, value = next(iter(changes.items()))
    one = next(each for each in intents(run.records) if getattr(each, name) != value)
    run.records = [msgspec.structs.replace(one, **changes) if each is one else each for each in run.records]
    run.write_journal()
    code, told = again(run, capsys)
    assert (code, told["result"]) == (1, "DIFFERENT")
    found = told["mismatch"]
    assert found["log"] == first_log(run).name
    assert found["what"] == f"sequence {one.sequence}, client id {one.client_id}"
    assert {key for key in found["again"] if found["journal"][key] != found["again"][key]} == {name}


def without(records: Records, kind: type[r.Record], client_id: str) -> Records:
    return [one for one in records if not (isinstance(one, kind) and getattr(one, "client_id", "") == client_id)]


def test_an_intent_that_is_missing_is_named(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    gone = intents(run.records)[MIDDLE]
    run.records = without(run.records, r.Intent, gone.client_id)
    run.write_journal()
    code, told = again(run, capsys)
    assert (code, told["mismatch"]["what"]) == (1, f"sequence {gone.sequence}, client id {gone.client_id}")
    assert told["mismatch"]["journal"] == {}
    assert told["mismatch"]["again"]["ticks"] == gone.ticks


def test_a_permit_that_is_missing_is_named(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    gone = intents(run.records)[MIDDLE]
    run.records = without(run.records, r.Permit, gone.client_id)
    run.write_journal()
    code, told = again(run, capsys)
    assert (code, told["mismatch"]["what"]) == (1, f"sequence {gone.sequence}, client id {gone.client_id}")
    assert (told["mismatch"]["journal"]["permitted"], told["mismatch"]["again"]["permitted"]) == (False, True)


def test_an_order_under_another_id_is_named(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    run.records, was = changed(run.records, client_id="mkb1another")
    run.write_journal()
    code, told = again(run, capsys)
    assert (code, told["mismatch"]["what"]) == (1, f"sequence {was.sequence}, client id mkb1another")
    assert told["mismatch"]["again"]["client_id"] == was.client_id


@pytest.mark.parametrize(
    ("moved", "log"),
    [(100, "the first"), (30_000_000, "the first"), (80_000_000, "the second"), (-2_000_000, "none")],
    ids=["behind the last", "between two lives", "after the last life", "before the first life"],
)
def test_an_intent_that_no_engine_made_is_named(moved: int, log: str, run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Its number is `moved` from where the first engine began counting."""
    number = InputsRead(first_log(run)).header.sequence_base + moved
    model = intents(run.records)[MIDDLE]
    run.records.append(msgspec.structs.replace(model, client_id="mkb1extra", sequence=number, created_boot_ns=number * 1_000 + S))
    run.write_journal()
    code, told = again(run, capsys)
    logs = [one.name for one in sorted((run.folder / "engine").glob("inputs-*.log"))]
    assert (code, told["result"]) == (1, "DIFFERENT")
    assert told["mismatch"]["what"] == f"sequence {number}, client id mkb1extra, which no engine proposed"
    assert told["mismatch"]["log"] == {"the first": logs[0], "the second": logs[1], "none": "no log"}[log]
    assert told["mismatch"]["again"] == {}


def test_an_intent_of_a_life_whose_log_is_gone_is_named(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    first = intents(run.records)[0]
    first_log(run).unlink()
    code, told = again(run, capsys)
    assert (code, told["mismatch"]["log"]) == (1, "no log")
    assert told["mismatch"]["what"].startswith(f"sequence {first.sequence}, ")


def test_what_a_person_or_the_reduction_proposes_in_its_name_is_no_difference(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """They number an order by the time it is made at; the test above is the control."""
    model = intents(run.records)[MIDDLE]
    at_ns = model.created_boot_ns + 30 * S + 999
    run.records.append(msgspec.structs.replace(model, client_id="mkb1hand", sequence=at_ns // 1_000 + 2, created_boot_ns=at_ns))
    run.records.append(msgspec.structs.replace(model, client_id="dem1other", strategy="demo", sequence=3))
    run.write_journal()
    assert again(run, capsys)[0] == 0


def drill(boot_ns: int) -> r.Armed:
    binding = r.Binding(
        incarnation="i",
        host="h",
        account="main",
        endpoint=r.Endpoint.LOOPBACK,
        build="b",
        config="c",
        strategy="s",
        limits="l",
        symbols=(),
    )
    grant = r.Grant(
        grant_id="the drill",
        binding=binding,
        cap_usd=Decimal(100),
        scripted=True,
        minted_boot_ns=boot_ns,
        expires_boot_ns=boot_ns + S,
        mandate_until_boot_ns=boot_ns + S,
        purpose=r.Purpose.DRILL,
    )
    return r.Armed(boot_ns=boot_ns, grant=grant, wall_ns=1)


@pytest.mark.parametrize(("over", "code"), [(False, 0), (True, 1)])
def test_the_orders_of_a_kill_drill_are_the_gates_own(over: bool, code: int, run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that was denied, and then tried again. The control comes when the drill is over."""
    model = intents(run.records)[-1]
    own = [msgspec.structs.replace(model, client_id=f"mkb1drill{n}", sequence=n, boot_ns=model.boot_ns + 1) for n in (1, 2)]
    run.records.append(drill(model.boot_ns))
    if over:
        run.records.append(r.Disarmed(boot_ns=model.boot_ns, reason="the drill is over", actor="gate"))
    run.records += [own[0], own[1], permit_of("mkb1drill2", model.boot_ns + 1, "the drill")]
    run.write_journal()
    assert again(run, capsys)[0] == code


def test_a_cancel_that_the_engine_did_not_want_is_named(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    cancelled = {one.client_id for one in run.records if isinstance(one, r.CancelWanted)}
    kept = next(one for one in intents(run.records) if one.client_id not in cancelled)
    run.records.append(r.CancelWanted(boot_ns=kept.boot_ns, client_id=kept.client_id, reason="the strategy", actor="engine"))
    run.write_journal()
    code, told = again(run, capsys)
    assert (code, told["mismatch"]["what"]) == (1, f"cancel of {kept.client_id}")


def test_a_run_without_its_journal_is_not_the_same(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run.folder / "journal")
    code, told = again(run, capsys)
    assert code == 2
    assert "expected the folder of a journal, found none" in told["error"]["message"]


# In the log


def nth(inputs: Inputs, kind: Kind, n: int = MIDDLE) -> int:
    """Where the nth of a kind stands in the log."""
    return [at for at, one in enumerate(inputs) if one.kind is kind][n]


def number_of(inputs: Inputs, at: int) -> int:
    """The number of the input that stands there, as the difference names it."""
    return max(sum(one.kind is not Kind.ACTIONS for one in inputs[: at + 1]) - 1, 0)


def planted(run: RecordedRun, change: Callable[[Inputs], int]) -> tuple[int, Inputs]:
    """Change the first log in place; the number of the input at which it shows, as `change` says where that stands, and the log before."""
    before: Inputs = []
    shown: list[int] = []

    def plant(inputs: Inputs) -> Inputs:
        before[:] = inputs
        shown.append(number_of(inputs, change(inputs)))
        return inputs

    rewrite(first_log(run), plant)
    return shown[0], before


def actions_changed(inputs: Inputs) -> int:
    at = nth(inputs, Kind.ACTIONS)
    wanted = msgspec.msgpack.decode(inputs[at].data)
    wanted[0][-1] = not wanted[0][-1] if wanted[0][0] == "place" else wanted[0][-1] + "x"
    inputs[at] = inputs[at]._replace(data=msgspec.msgpack.encode(wanted))
    return at - 1


def actions_missing(inputs: Inputs) -> int:
    at = nth(inputs, Kind.ACTIONS)
    del inputs[at]
    return at - 1


def actions_too_many(inputs: Inputs) -> int:
    at = next(n for n in range(60, len(inputs)) if Kind.ACTIONS not in (inputs[n].kind, inputs[n + 1].kind))
    inputs.insert(at + 1, Input(Kind.ACTIONS, inputs[at].now_ns, 1, inputs[nth(inputs, Kind.ACTIONS)].data))
    return at


def frame_changed(inputs: Inputs) -> int:
    """Another price in the frame before a decision."""
    at = max(n for n in range(nth(inputs, Kind.ACTIONS)) if inputs[n].kind is Kind.FRAME and inputs[n + 1].kind is Kind.ACTIONS)
    inputs[at] = inputs[at]._replace(data=frame(10_000, 600_300, inputs[at].now_ns - EPOCH_NS + BOOT_NS))
    return at


def frame_missing(inputs: Inputs) -> int:
    """A frame that led to a decision; it shows at the decision, which now comes after the input before."""
    at = max(n for n in range(nth(inputs, Kind.ACTIONS)) if inputs[n].kind is Kind.FRAME and inputs[n + 1].kind is Kind.ACTIONS)
    del inputs[at]
    return at - 1


def actions_at_the_beginning(inputs: Inputs) -> int:
    """Before anything was heard."""
    inputs.insert(0, Input(Kind.ACTIONS, inputs[0].now_ns, 1, msgspec.msgpack.encode([["cancel", "mkb1x"]])))
    return 0


@pytest.mark.parametrize(
    "change",
    [actions_changed, actions_missing, actions_too_many, frame_changed, frame_missing, actions_at_the_beginning],
    ids=lambda one: one.__name__,
)
def test_a_log_that_says_something_else_is_different_at_that_input(
    change: Callable[[Inputs], int], run: RecordedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    number, _ = planted(run, change)
    code, told = again(run, capsys)
    assert (code, told["result"]) == (1, "DIFFERENT")
    assert told["mismatch"]["log"] == first_log(run).name
    assert told["mismatch"]["what"].startswith(f"input {number} ("), told["mismatch"]
    assert told["mismatch"]["journal"] != told["mismatch"]["again"]


def test_a_log_that_was_made_up_as_a_whole_is_not_what_the_journal_has(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """One price is another one, and all that is wanted is written again to go with it."""
    log = first_log(run)
    core = core_of(InputsRead(log).header, PLAN.settings, PLAN.strategy)

    def made_up(inputs: Inputs) -> Inputs:
        frame_changed(inputs)
        found: Inputs = []
        for one in (each for each in inputs if each.kind is not Kind.ACTIONS):
            found.append(one)
            if actions := core.take(one):
                found.append(Input(Kind.ACTIONS, one.now_ns, len(actions), told_actions(actions)))
        return found

    rewrite(log, made_up)
    code, told = again(run, capsys)
    assert (code, told["result"]) == (1, "DIFFERENT")
    assert told["mismatch"]["what"].startswith("sequence ")
    assert told["mismatch"]["journal"]["ticks"] != told["mismatch"]["again"]["ticks"]


def test_the_first_difference_is_told_in_words(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    number, _ = planted(run, actions_missing)
    assert main(["replay", "--from-run", str(run.folder)]) == 1
    shown = capsys.readouterr().out
    assert f"first difference, {first_log(run).name}, input {number} (" in shown
    assert "  journal: {'wanted': []}" in shown


@pytest.mark.parametrize("other", [False, True])
def test_other_code_than_that_of_the_run_is_told(other: bool, run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    log = first_log(run)
    read = InputsRead(log)
    inputs = [one for one in read if one.kind is not Kind.END]
    log.unlink()
    written = InputLog(log, msgspec.structs.replace(read.header, source="another") if other else read.header)
    for one in inputs:
        written.write(one)
    written.close()
    code, told = again(run, capsys)
    assert (code, told["other_code"]) == (0, other)
    assert main(["replay", "--from-run", str(run.folder)]) == 0
    assert ("other code decided then" in capsys.readouterr().out) is other


# What is left of a log


def test_what_a_kill_takes_away_is_no_difference_and_is_told(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    def half_a_second_less(inputs: Inputs) -> Inputs:
        return [one for one in inputs if one.now_ns <= inputs[-1].now_ns - S // 2]

    rewrite(first_log(run), half_a_second_less, end=False)
    code, told = again(run, capsys)
    assert (code, told["result"], told["cut"]) == (0, "SAME", 1)
    assert told["beyond"] > 0
    assert told["intents"] + told["beyond"] == len(intents(run.records))
    assert main(["replay", "--from-run", str(run.folder)]) == 0
    assert f"{told['beyond']} intents of the journal are of that moment, and not compared" in capsys.readouterr().out


def test_the_same_missing_from_a_log_that_ended_in_order_is_a_difference(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(first_log(run), lambda inputs: [one for one in inputs if one.now_ns <= inputs[-1].now_ns - S // 2])
    code, told = again(run, capsys)
    assert (code, told["result"], told["cut"]) == (1, "DIFFERENT", 0)
    assert told["mismatch"]["log"] == first_log(run).name
    assert told["mismatch"]["what"].startswith("cancel of ")


@pytest.mark.parametrize("whole_blocks", [True, False])
def test_more_missing_than_a_kill_takes_away_is_a_difference(
    whole_blocks: bool, run: RecordedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    log = first_log(run)
    second = blocks(log)[1]
    os.truncate(log, second if whole_blocks else second + 20)
    code, told = again(run, capsys)
    assert (code, told["cut"]) == (1, 1)
    assert "after the log's end: more is missing than a kill takes away" in told["mismatch"]["what"]


@pytest.mark.parametrize("bytes_left", [0, 5, 17, 40])
def test_a_life_that_was_killed_before_it_began_is_nothing_to_compare(
    bytes_left: int, run: RecordedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    log = run.folder / "engine" / "inputs-1700000099000000000.log"
    log.write_bytes(first_log(run).read_bytes()[:bytes_left])
    code, told = again(run, capsys)
    assert (code, told["result"], told["logs"], told["cut"]) == (0, "SAME", 3, 1)


# Damage


def broken(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 0x40
    return data


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (broken, "the file is damaged"),
        (lambda data: b"another file" + data, "found another file"),
    ],
    ids=["a flipped bit", "another file"],
)
def test_damage_is_exit_code_3_and_names_the_file(
    damage: Callable[[bytearray], bytes], said: str, run: RecordedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    log = first_log(run)
    log.write_bytes(damage(bytearray(log.read_bytes())))
    code, told = again(run, capsys)
    assert (code, told["error"]["kind"]) == (3, "DamagedState")
    assert str(log) in told["error"]["message"]
    assert said in told["error"]["message"]


def test_a_record_of_the_journal_that_is_none_is_damage(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert again(run, capsys)[0] == 0, "whole, it is decided again"
    journal, _ = open_journal(SystemDisk(), run.folder / "journal", schema=r.SCHEMA, incarnation=b"x" * 16, options=SMALL)
    journal.commit(b"no record")
    journal.close()
    code, told = again(run, capsys)
    assert (code, told["error"]["kind"]) == (3, "DamagedState"), told
    assert f"record {len(run.records) + 1}: expected a record of schema" in told["error"]["message"]


@pytest.mark.parametrize(
    "bad",
    [
        Input(Kind.FRAME, 1, 9, b"{}"),
        Input(Kind.FRESH, 1, 9, b"1"),
        Input(Kind.ANSWER, 1, 0, b"\xff\nx"),
        Input(Kind.TOLD, 1, 0, b"nothing of ours"),
        Input(Kind.DECIDED, 1, 0, b"\xc1"),
        Input(Kind.DECIDED, 1, 0, msgspec.msgpack.encode([("x", 1)])),
    ],
    ids=["no such connection", "no such market", "no name", "no frame", "no answers", "no numbers"],
)
def test_an_input_that_no_engine_can_have_had_is_damage(bad: Input, run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(first_log(run), lambda inputs: [*inputs[:50], bad._replace(now_ns=inputs[50].now_ns), *inputs[50:]])
    code, told = again(run, capsys)
    assert (code, told["error"]["kind"]) == (3, "DamagedState"), told
    assert "is none that an engine consumed" in told["error"]["message"]


@pytest.mark.parametrize(
    "raw", [b"\x63\0\0" + bytes(12), b"\x01\0\0" + bytes(8) + b"\xff\0\0\0x", b"\x01\0"], ids=["kind", "length", "rest"]
)
def test_a_block_that_holds_no_inputs_is_damage(raw: bytes, run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    """Its checksum is right."""
    log = first_log(run)
    read = InputsRead(log).header
    log.unlink()

    class Raw(InputLog):
        def flush(self) -> None:
            self._buffer += raw if self._buffer else b""
            super().flush()

    made = Raw(log, read)
    made.write(Input(Kind.TIMER, read.epoch_ns))
    made.flush()
    made.close()
    code, told = again(run, capsys)
    assert (code, told["error"]["kind"]) == (3, "DamagedState"), told


def test_a_log_of_another_version_is_refused_by_name(run: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    log = first_log(run)
    log.unlink()
    InputLog(log, msgspec.structs.replace(header(1, 1), version=VERSION + 1)).close()
    code, told = again(run, capsys)
    assert code == 3
    assert f"expected version {VERSION}, found {VERSION + 1}" in told["error"]["message"]


def test_another_configuration_and_no_run_at_all_are_wrong_usage(
    run: RecordedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = run.folder / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("skew_bps = 1.5", "skew_bps = 2.5"), encoding="utf-8")
    code, told = again(run, capsys)
    assert code == 2
    assert "expected the configuration that inputs-" in told["error"]["message"]
    code, told = again(RecordedRun(tmp_path), capsys)
    assert code == 2
    assert "expected a run with config.toml and engine/inputs-*.log, found none" in told["error"]["message"]


# The edge

EDGE = """
[edge]
threshold_bps = "0"
horizon_s = 0.2
window_fills = 4
least_fills = 2
"""


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory: pytest.TempPathFactory) -> RecordedRun:
    """A run whose every quote is filled at once, for more than it brings; nobody changes it."""
    run = RecordedRun(tmp_path_factory.mktemp("run"), more=EDGE, fills=True)
    run.live()
    run.write_journal()
    return run


def latches(run: RecordedRun) -> list[r.LatchSet]:
    return [one for one in run.records if isinstance(one, r.LatchSet)]


def test_a_collapse_is_found_again_by_what_the_log_tells_alone(collapsed: RecordedRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert latches(collapsed), "the engine told the gate"
    assert all(Decimal(one.evidence["measured_bps"]) < 0 for one in latches(collapsed))
    code, told = again(collapsed, capsys)
    assert (code, told["result"], told["mismatch"]) == (0, "SAME", None)


def test_without_a_rule_the_same_fills_are_measured_by_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RecordedRun(tmp_path, fills=True)
    run.live()
    run.write_journal()
    assert latches(run) == []
    assert again(run, capsys)[0] == 0


def test_a_rule_that_was_not_that_of_the_run_is_a_difference(
    collapsed: RecordedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is measured depends on the configuration; its digest stands in the log."""
    shutil.copytree(collapsed.folder, tmp_path / "run")
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("window_fills = 4", "window_fills = 5"), encoding="utf-8")
    assert main(["replay", "--from-run", str(tmp_path / "run"), "--json"]) == 2
    assert "found another one" in capsys.readouterr().out


@pytest.mark.parametrize("subject", ["making", "another"])
def test_a_latched_edge_that_no_engine_measured_is_named(
    subject: str, collapsed: RecordedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another strategy nothing is known here."""
    shutil.copytree(collapsed.folder, tmp_path / "run")
    extra = msgspec.structs.replace(latches(collapsed)[0], subject=subject, evidence={"measured_bps": "-7", "threshold_bps": "0"})
    run = RecordedRun(tmp_path / "run", [*collapsed.records, extra])
    run.write_journal()
    code, told = again(run, capsys)
    if subject == "making":
        assert (code, told["mismatch"]["what"]) == (1, "edge of making, which no engine measured")
        assert told["mismatch"]["journal"] == {"measured_bps": "-7", "threshold_bps": "0"}
    else:
        assert (code, told["mismatch"]) == (0, None)
