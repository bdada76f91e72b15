"""Pairs that were reserved as one: an honest one passes, and each way to go beyond a reservation is found by its invariant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.trace import journals as j
from tests.trace.journals import Map, S, Steps, cid

from interlock.trace.check import Checker
from interlock.trace.values import Entry, Finding
from interlock.trace.vocabulary import DEFAULTS

SPOT: Map = {"venue": "upbit", "account": "desk", "symbol": "KRW-BTC"}
BOUND = [["bybit", "BTCUSDT", "m"], ["upbit", "KRW-BTC", "m"]]


NEWEST = 5
"""The newest schema of records."""


def judged(records: Steps) -> list[Finding]:
    """What the checker finds, each record in a batch of its own, and nothing known of the venues."""
    checker = Checker()
    found = []
    for lsn, record in enumerate(records, 1):
        fields = {name: value for name, value in record.items() if name != "k"}
        for name, value in DEFAULTS.get(record["k"], {}).items():
            fields.setdefault(name, value)
        found += checker.take(Entry(lsn, lsn, "", record["k"], fields, NEWEST))
    return [*found, *checker.finish(witnessed=False, truth=False)]


def leg(side: int, lots: int = 10, units: int = 2, ticks: int = 1000, **market: Any) -> Map:
    place = {"venue": "bybit", "account": "desk", "symbol": "BTCUSDT", **market}
    return {**place, "side": side, "ticks": ticks, "lots": lots, "units_per_lot": units, "notional_usd": "1"}


def group(at: float = 2, name: str = "pair", until: float = 20, **changes: Any) -> Map:
    """Ten lots bought on spot, answered by five of the perpetual that are twice as large."""
    fields = {
        "group": name,
        "client_ids": [cid(1)],
        "naked_cap_usd": "5",
        "deadline_boot_ns": 60 * S,
        "loss_bound_usd": "5",
        "legs": [leg(1, 10, 1, **SPOT), leg(-1, 5, 2, ticks=990)],
        "reserved_until_boot_ns": int(until * S),
        **changes,
    }
    return j.r("group", at, **fields)


def spot(record: Map) -> Map:
    return {**record, **SPOT}


def opening() -> Steps:
    records = j.opening()
    records[-1] = j.arm(1.3, symbols=BOUND)
    return records


def order(number: int, at: float, lots: int, here: Callable[[Map], Map] = lambda record: record, side: int = 1, **changes: Any) -> Steps:
    intent, permit, *sent = j.placed(cid(number), at, lots=lots, side=side, group="pair", **changes)
    return [here(intent), permit, *sent]


def second(number: int, at: float, lots: int, ticks: int = 1000, **changes: Any) -> Steps:
    intent, *rest = order(number, at, lots, side=-1, **changes)
    return [{**intent, "ticks": ticks}, *rest]


def first(at: float = 2, lots: int = 10) -> Steps:
    """The first order of the pair, with its group recorded between intent and permit."""
    intent, *rest = order(1, at, lots, spot)
    return [intent, group(at), *rest]


def bought(at: float, lots: int, trade: str, number: int = 1) -> Map:
    return spot(j.fill(cid(number), at, lots, trade))


def sold(at: float, lots: int, trade: str, number: int) -> Map:
    return j.fill(cid(number), at, lots, trade, side=-1)


def honest() -> Steps:
    """Executions in parts, each answered by what it calls for: an odd lot waits for the next one."""
    return [
        *opening(),
        *first(),
        bought(3, 5, "a"),
        *second(2, 3.1, 2),
        sold(3.5, 2, "b", 2),
        bought(4, 5, "c"),
        *second(3, 4.1, 2, ticks=990),
        j.answer(cid(3), 4.2),
        *second(4, 4.3, 1),
        sold(4.4, 2, "d", 3),
        sold(4.5, 1, "e", 4),
    ]


def unknown_beside() -> Steps:
    """Half of the first leg is executed, the other order of it is unknown: what is executed may be answered."""
    return [
        *opening(),
        *first(lots=4),
        bought(3, 4, "a"),
        *order(2, 3.1, 6, spot),
        j.r("unknown", 3.4, client_id=cid(2), revision=0, reason="timeout"),
        *second(3, 4, 2),
        sold(4.1, 2, "b", 3),
    ]


def amended() -> Steps:
    """An amend that the venue refuses leaves its room to another order."""
    intent, *rest = order(1, 2, 4, spot)
    return [
        *opening(),
        intent,
        group(2),
        *rest,
        j.answer(cid(1), 2.1),
        {**spot(j.intent(cid(1), 2.2, revision=1, lots=10, group="pair"))},
        j.permit(cid(1), 2.21, revision=1, lots=10),
        j.wire(cid(1), 2.22, revision=1),
        j.sent(cid(1), 2.23, revision=1),
        j.answer(cid(1), 2.24, "rejected", revision=1, code="no"),
        *order(2, 3, 6, spot),
        j.answer(cid(2), 3.1),
    ]


def unwound() -> Steps:
    """Under the mandate what was bought is sold again, and no more is answered."""
    return [
        *opening(),
        *first(),
        bought(3, 10, "a"),
        *order(2, 3.1, 4, spot, side=-1, mandate="hedge"),
        *second(3, 3.2, 3),
        sold(3.5, 3, "b", 3),
    ]


def begun_anew() -> Steps:
    """A name is used again in the next life and, without legs, once more."""
    again = [
        {**record, "client_ids": [cid(7, 101, "incarn8")], "boot_ns": 30 * S, "legs": [], "reserved_until_boot_ns": 0}
        for record in (group(30),)
    ]
    return [*honest(), j.boot(29, 1), *again]


HONEST = {"parts": honest, "unknown": unknown_beside, "amended": amended, "unwound": unwound, "anew": begun_anew}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_pair_passes(name: str) -> None:
    assert [str(one) for one in judged(HONEST[name]())] == []


def recorded(**changes: Any) -> Steps:
    intent, *rest = order(1, 2, 10, spot)
    return [*opening(), intent, group(2, **changes), *rest]


TOO_LATE = 21
FIRST, SECOND = group()["legs"]
PLANTED: list[tuple[str, str, Callable[[], Steps]]] = [
    ("S20", "an answer before anything is executed", lambda: [*opening(), *first(), *second(2, 3, 1)]),
    ("S20", "an answer to an acknowledgement", lambda: [*opening(), *first(), j.answer(cid(1), 2.5, "acked"), *second(2, 3, 1)]),
    ("S20", "an answer to a report", lambda: [*opening(), *first(), spot(j.report(cid(1), 2.5, "partial", 4)), *second(2, 3, 1)]),
    ("S20", "an answer that is rounded up", lambda: [*opening(), *first(), bought(3, 5, "a"), *second(2, 3.1, 3)]),
    ("S20", "one thing answered twice", lambda: [*opening(), *first(), bought(3, 4, "a"), *second(2, 3.1, 2), *second(3, 3.2, 1)]),
    (
        "S20",
        "what is sold again answered as well",
        lambda: [*opening(), *first(), bought(3, 10, "a"), *order(2, 3.1, 4, spot, side=-1, mandate="hedge"), *second(3, 3.2, 4)],
    ),
    (
        "S20",
        "what was reversed answered",
        lambda: [
            *opening(),
            *first(),
            bought(3, 4, "a"),
            j.r("reversal", 3.05, trade_id="a", **SPOT),
            j.latch("reversal", 3.06),
            *second(2, 3.1, 2),
        ],
    ),
    ("S11", "more of the first leg than was reserved", lambda: [*opening(), *first(lots=6), *order(2, 3, 5, spot)]),
    ("S11", "all of it twice, as the first part has filled", lambda: [*opening(), *first(), bought(3, 10, "a"), *order(2, 3.1, 1, spot)]),
    (
        "S11",
        "an amend beyond it",
        lambda: [
            *opening(),
            *first(),
            j.answer(cid(1), 2.1),
            spot(j.intent(cid(1), 2.2, revision=1, lots=12, group="pair")),
            j.permit(cid(1), 2.21, revision=1, lots=12),
            spot(j.intent(cid(1), 2.3, revision=2, lots=13, group="pair")),
            j.permit(cid(1), 2.31, revision=2, lots=13),
            *order(2, 3, 1, spot),
        ],
    ),
    (
        "S11",
        "a first leg at a worse price",
        lambda: [*opening(), *first(lots=1), spot({**order(2, 3, 1)[0], "ticks": 1001}), *order(2, 3, 1)[1:]],
    ),
    ("S11", "a second leg at a worse price", lambda: [*opening(), *first(), bought(3, 10, "a"), *second(2, 3.1, 1, ticks=989)]),
    ("S11", "the other side of a leg", lambda: [*opening(), *first(), bought(3, 10, "a"), *order(2, 3.1, 1)]),
    ("S11", "a market that is no leg", lambda: [*opening(), *first(lots=1), *order(2, 3, 1, lambda one: {**one, "account": "other"})]),
    ("S11", "a first leg after its time", lambda: [*opening(), *first(lots=1), *order(2, TOO_LATE, 1, spot)]),
    ("S11", "one leg", lambda: recorded(legs=[FIRST])),
    ("S11", "three legs", lambda: recorded(legs=[FIRST, SECOND, SECOND])),
    ("S11", "both legs on one market", lambda: recorded(legs=[FIRST, {**FIRST, "side": -1}])),
    ("S11", "both legs on one side", lambda: recorded(legs=[FIRST, {**SECOND, "side": 1}])),
    ("S11", "a second leg that is larger", lambda: recorded(legs=[FIRST, {**SECOND, "lots": 6}])),
    ("S11", "a second leg of nothing", lambda: recorded(legs=[FIRST, {**SECOND, "lots": 0}])),
    ("S11", "a time that is over", lambda: recorded(reserved_until_boot_ns=2 * S - 1)),
    ("S11", "a time beyond that of its group", lambda: recorded(reserved_until_boot_ns=60 * S + 1)),
    ("S11", "nobody who reserved it", lambda: recorded(client_ids=[])),
    ("S26", "units of nothing", lambda: recorded(legs=[FIRST, {**SECOND, "units_per_lot": 0}])),
    (
        "S8",
        "a first leg beside an unknown one",
        lambda: [
            *opening(),
            *first(lots=4),
            j.r("unknown", 2.5, client_id=cid(1), revision=0, reason="timeout"),
            *order(2, 3, 1, spot),
        ],
    ),
]


@pytest.mark.parametrize(("invariant", "what", "make"), PLANTED, ids=[f"{s}-{what}" for s, what, _ in PLANTED])
def test_a_planted_violation_is_found(invariant: str, what: str, make: Callable[[], Steps]) -> None:
    found = judged(make())
    assert invariant in {one.invariant for one in found}, (what, [str(one) for one in found])


def test_a_pair_of_another_life_reserves_nothing_in_this() -> None:
    records = [*opening(), *first(lots=1), j.boot(5, 1)]
    checker = Checker()
    for lsn, record in enumerate(records, 1):
        checker.take(Entry(lsn, lsn, "", record["k"], {name: value for name, value in record.items() if name != "k"}, NEWEST))
    assert checker.state.pairs == {}


def test_what_is_alive_of_a_name_is_counted_when_it_begins_anew() -> None:
    records = [*opening(), *order(1, 2, 6, spot), group(3, client_ids=[cid(2)]), *order(2, 3.1, 5, spot)]
    assert "S11" in {one.invariant for one in judged(records)}
    assert judged([*records[:-4], *order(2, 3.1, 4, spot)]) == []


def test_an_order_of_that_name_on_another_market_answers_nothing() -> None:
    elsewhere = order(2, 2, 1, lambda one: {**one, "account": "other"})
    records = [*opening(), *elsewhere, *first(2.5), bought(3, 4, "a"), *second(3, 3.1, 2)]
    assert judged(records) == []
    assert {one.invariant for one in judged([*records[:-4], *second(3, 3.1, 3)])} == {"S20"}
