"""Journals of earlier versions are read by this one, and say what the venue said when they were written.

A journal is never taken out of the corpus. When the schema or the fold changes, add one: `python -m tests.gate.corpus.story NAME`, and where
that is about two venues or a shared account `python -m tests.gate.corpus.served NAME`.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.corpus import story
from tests.gate.gate_machine import World

from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover
from interlock.gate.state import GateState
from interlock.trace.check import check

CORPUS = sorted(folder for folder in story.HERE.iterdir() if (folder / "expected.json").exists())


def unpacked(folder: Path, into: Path) -> Path:
    for file in folder.glob("*.xz"):
        (into / file.name.removesuffix(".xz")).write_bytes(lzma.decompress(file.read_bytes()))
    return into


def read(folder: Path, into: Path) -> list[r.Record]:
    """All records of a journal of the corpus, unpacked into a folder that is made."""
    into.mkdir()
    found: list[r.Record] = []
    recover(SystemDisk(), unpacked(folder, into), schema=r.SCHEMA, consume=lambda _, payload: found.append(r.decode(payload)))
    return found


def folded(folder: Path, schema: int) -> GateState:
    state = GateState(lc.SHEET)
    recover(SystemDisk(), folder, schema=schema, consume=lambda _, payload: state.apply(r.decode(payload)))
    return state


def told(state: GateState) -> dict[str, Any]:
    """What the fold says in the words of the venue."""
    sent = {name: order for name, order in state.orders.by_id.items() if order.state.value not in ("not_sent", "intended")}
    position = state.ledger.positions.get(("bybit", "main", "BTCUSDT"))
    return {
        "orders": {name: {"state": order.state.value, "filled_lots": order.filled_lots} for name, order in sorted(sent.items())},
        "lots": 0 if position is None else position.lots,
    }


def test_there_is_a_journal_of_this_schema() -> None:
    assert r.SCHEMA in {json.loads((folder / "expected.json").read_text(encoding="utf-8"))["schema"] for folder in CORPUS}


def test_what_came_with_schema_2_is_in_a_journal(tmp_path: Path) -> None:
    found: list[r.Record] = []
    for folder in CORPUS:
        (into := tmp_path / folder.name).mkdir()
        schema = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["schema"]
        recover(SystemDisk(), unpacked(folder, into), schema=schema, consume=lambda _, payload: found.append(r.decode(payload)))
    assert any(isinstance(one, r.LimitsTightened) for one in found)
    pairs = [one for one in found if isinstance(one, r.GroupReserved) and one.legs]
    assert {leg.venue for one in pairs for leg in one.legs} == {"bybit", "binance_usdm"}
    assert {one.group for one in found if isinstance(one, r.Intent)} >= {one.group for one in pairs}
    theirs = [one.venue_id.partition(".")[0] for one in found if isinstance(one, r.LedgerEvent) and one.kind is r.LedgerKind.FOREIGN]
    assert {"fill", "deposit"} <= set(theirs)


def test_what_came_with_schema_5_is_in_a_journal_and_nothing_of_it_in_an_older_one(tmp_path: Path) -> None:
    """What a day lost by currency, and its limit among those that each permit was judged by."""
    found = {name: read(story.HERE / name, tmp_path / name) for name in ("schema-4-shadow", "schema-5-currencies")}
    told = {name: [(one.by_currency, one.realised_usd) for one in each if isinstance(one, r.Marked)] for name, each in found.items()}
    assert not any(by_currency for by_currency, _ in told["schema-4-shadow"])
    assert any(by_currency and by_currency[0][0] == "USDT" and usd for by_currency, usd in told["schema-5-currencies"])
    limits = {name: {e.limit for one in each if isinstance(one, r.Permit) for e in one.evaluations} for name, each in found.items()}
    assert limits["schema-5-currencies"] - limits["schema-4-shadow"] == {"max_currency_loss"}


def test_what_came_with_schema_4_is_in_a_journal_and_is_no_order(tmp_path: Path) -> None:
    folder = story.HERE / "schema-4-shadow"
    found: list[r.Record] = []
    recover(SystemDisk(), unpacked(folder, tmp_path), schema=4, consume=lambda _, payload: found.append(r.decode(payload)))
    (one,) = [each for each in found if isinstance(each, r.Unsent)]
    assert (one.client_id, one.permit_lsn) == (story.UNSENT, 9)
    state = folded(tmp_path, 4)
    assert story.UNSENT not in state.orders.by_id
    assert not any(booked.client_id == story.UNSENT for booked in state.ledger.fills.values())


def test_what_came_with_schema_3_is_in_a_journal(tmp_path: Path) -> None:
    folder = story.HERE / "schema-3-attested"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    state = folded(unpacked(folder, tmp_path), expected["schema"])
    (one,) = state.attestations.newest
    assert (one.trade, one.withdraw, one.expires_wall_ns, one.actor) == (None, False, 0, "ann")
    assert state.boots > 1, "it is about the key, and outlives the process"
    older = story.HERE / "schema-2-tightened"
    (into := tmp_path / "older").mkdir()
    assert folded(unpacked(older, into), 2).attestations.newest == ()


@pytest.mark.parametrize("folder", CORPUS, ids=lambda folder: folder.name)
def test_an_old_journal_folds_to_what_the_venue_said(folder: Path, tmp_path: Path) -> None:
    expected: Mapping[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    unpacked(folder, tmp_path)
    states = [folded(tmp_path, expected["schema"]) for _ in range(2)]
    assert told(states[0]) == {name: expected[name] for name in ("orders", "lots")}
    assert states[0].digest() == states[1].digest()
    states[0].apply(aw.boot("life-z"))
    assert (states[0].live, states[0].lattice.base) == (None, r.Level.HALT)


@pytest.mark.parametrize("folder", CORPUS, ids=lambda folder: folder.name)
def test_the_checker_finds_nothing_in_an_old_journal_and_finds_what_is_planted(folder: Path, tmp_path: Path) -> None:
    unpacked(folder, tmp_path)
    witness, truth = tmp_path / "witness.jsonl", tmp_path / "truth.jsonl"
    assert check(tmp_path, witness=witness, truth=truth).violations == []
    lines = witness.read_text(encoding="utf-8").splitlines()
    raising = next(at for at, line in enumerate(lines) if json.loads(line)["class"] == "RISK+")
    witness.write_text("\n".join([*lines, lines[raising]]) + "\n", encoding="utf-8")
    assert "S8" in [one.invariant for one in check(tmp_path, witness=witness, truth=truth).violations]


def test_the_story_is_still_told(tmp_path: Path) -> None:
    """So that a new journal can be made on the day that it is needed."""
    with World(tmp_path) as world:
        story.live(world)
        world.finish()
        assert {order["state"] for order in story.truth(world)["orders"].values()} == {"filled", "cancelled"}
