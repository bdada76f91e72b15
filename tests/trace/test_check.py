"""Each invariant: an honest trace passes, and one planted violation is caught by exactly its rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trace import journals as j
from tests.trace.journals import LIFE, WALL, Map, S, Steps, cid

from interlock.domain.clock import ManualClock
from interlock.domain.errors import BadInput, DamagedState
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.witness import Witness
from interlock.trace.check import CHECKED, NOT_CHECKED, Checker, Report, check
from interlock.trace.facts import Facts, read_facts
from interlock.trace.values import Entry, Finding
from interlock.trace.witness import Execution, Line, read_line
from interlock.venues.fake import wire


def facts(path: Path) -> Facts:
    path.write_bytes(msgspec.json.encode(j.FACTS))
    return read_facts(path)


def judged(folder: Path, records: Steps, lines: list[Map] | None = None, truth: list[Map] | None = None) -> Report:
    folder.mkdir(exist_ok=True)
    return check(
        j.write(folder / "journal", records),
        witness=j.save(folder / "witness.jsonl", j.lines_of(records) if lines is None else lines),
        truth=j.save(folder / "truth.jsonl", j.truth_of(records) if truth is None else truth),
        facts=facts(folder / "facts.json"),
    )


def broken(report: Report) -> list[str]:
    return sorted({one.invariant for one in report.violations})


def told(report: Report) -> str:
    return "\n".join(str(one) for one in report.violations)


def two_lives() -> Steps:
    """The first life latches and dies with a send under way; in the second a person clears the latch and trades again."""
    return [
        *j.opening(),
        *j.placed(cid(1), 2),
        j.latch("operator", 3),
        j.boot(10, 1),
        j.r("epoch", 10, number=101),
        j.r("unknown", 10.1, client_id=cid(1), revision=0, reason="the process ended"),
        j.report(cid(1), 10.2, "cancelled", 0),
        j.recon(10.3),
        j.unlatch("operator", 10.4),
        j.run(10.5, "n2"),
        j.arm(10.6, "g2", 1),
        *j.placed(cid(2, 101, "incarn8"), 11, grant_id="g2", epoch=101),
        j.answer(cid(2, 101, "incarn8"), 11.1),
        j.r("tick", 12, wall_ns=WALL + 12 * S),
    ]


def held_back() -> Steps:
    """The level falls between the beginning of a write and the write, which is called off."""
    return [
        *j.opening(),
        *j.placed(cid(1), 2)[:2],
        j.r("disarm", 2.015, reason="typed", actor="me", symbol="", mandate_ends=True),
        j.wire(cid(1), 2.02),
        j.r("not_sent", 2.02, client_id=cid(1), revision=0, reason="disarmed"),
        j.r("tick", 12, wall_ns=WALL + 12 * S),
    ]


def reducing() -> Steps:
    """At REDUCE_ONLY a hedge is placed under the mandate."""
    return [*j.opening(), j.latch("loss", 1.5, "reduce_only"), *j.placed(cid(1), 2, mandate="hedge"), j.answer(cid(1), 2.1)]


def killed() -> Steps:
    """A kill, and what it leaves to the next life."""
    return [
        *j.opening(),
        *j.placed(cid(1), 2),
        j.answer(cid(1), 2.1),
        j.r("kill_req", 3, source="person", wall_ns=WALL + 3 * S),
        j.r("cancel_sent", 3.005, client_id=cid(1), attempt=1),
        j.r("kill", 3.01),
        j.report(cid(1), 3.5, "cancelled", 0),
        j.boot(10, 1),
        j.r("epoch", 10, number=101),
        j.recon(10.3),
        j.unlatch("kill", 10.4),
        j.run(10.5, "n2"),
        j.arm(10.6, "g2", 1),
        *j.placed(cid(2, 101, "incarn8"), 11, grant_id="g2", epoch=101),
    ]


def settled() -> Steps:
    """Foreign activity, a difference and a reversal, each latched; a person looks, and then new risk."""
    steps = [*j.opening(), *j.placed(cid(1), 2), j.fill(cid(1), 2.5, 10)]
    steps += [j.foreign(3), j.latch("foreign_activity", 3.1), j.unlatch("foreign_activity", 3.2, nonce="n3")]
    steps += [
        j.recon(4, False),
        j.latch("no_consistent_cut", 4.1, "cancel_only"),
        j.recon(4.2),
        j.unlatch("no_consistent_cut", 4.3, nonce="n4"),
    ]
    steps += [j.r("reversal", 5, venue="bybit", account="desk", symbol="BTCUSDT", trade_id="t1"), j.latch("reversal", 5.1)]
    steps += [j.unlatch("reversal", 5.2, nonce="n5"), j.arm(5.3, "g2"), *j.placed(cid(2), 6, grant_id="g2"), j.answer(cid(2), 6.1)]
    return steps


def quarantined() -> Steps:
    """An outcome that nothing can prove, until a person states it."""
    return [
        *j.opening(),
        *j.placed(cid(1), 2, group="pair"),
        j.r("unknown", 3, client_id=cid(1), revision=0, reason="timeout"),
        j.r("quarantine", 4, client_id=cid(1), reason="no expiry"),
        j.r("release", 5, client_id=cid(1), state="absent", filled_lots=0, actor="me", nonce="n6"),
        *j.placed(cid(2), 6, group="pair"),
        j.answer(cid(2), 6.1),
    ]


def interlocked() -> Steps:
    """A condition fails for another symbol and clears; one symbol is disarmed, which another does not feel."""
    name = {"name": "feed_stale", "scope": "symbol", "subject": "bybit/ETHUSDT"}
    return [
        *j.opening(),
        j.r("trip", 1.5, **name, level="reduce_only", reason="", evidence={}),
        j.r("disarm", 1.6, reason="metadata", actor="gate", symbol="bybit/ETHUSDT", mandate_ends=True),
        *j.placed(cid(1), 2),
        j.answer(cid(1), 2.1),
        j.r("untrip", 2.5, **name),
        j.r("level", 3, level="cancel_only", reason="", actor="gate", human=False, nonce=""),
        j.r(
            "ledger",
            4,
            kind="funding",
            venue="bybit",
            account="desk",
            venue_id="f",
            currency="USDT",
            amount="-1",
            symbol="",
            lots=0,
            venue_ns=1,
        ),
        j.r("expect", 4, kind="deposit", venue="bybit", account="desk", currency="USDT", amount="5", until_wall_ns=WALL, actor="me"),
        j.r("group", 4, group="pair", client_ids=[], naked_cap_usd="5", deadline_boot_ns=1),
        j.r(
            "ledger",
            5,
            kind="adl",
            venue="bybit",
            account="desk",
            venue_id="a",
            currency="USDT",
            amount="0",
            symbol="BTCUSDT",
            lots=-1,
            nonce="n8",
            venue_ns=1,
        ),
    ]


def drilling() -> Steps:
    """A sweep, then a drill with one order that the sentinel cancels; then a grant to trade."""
    return [
        *j.opening()[:4],
        j.drilled(1.25, kind="sweep", placed=0, cancelled=0),
        j.arm(1.3, expires=61.3, purpose="drill"),
        *j.placed(cid(1), 2),
        j.answer(cid(1), 2.1),
        j.report(cid(1), 3, "cancelled", 0),
        j.drilled(3.1),
        j.r("disarm", 3.2, reason="drilled", actor="gate", symbol="", mandate_ends=True),
        j.arm(4, "g2"),
        *j.placed(cid(2), 5, grant_id="g2"),
        *j.placed(cid(3), 6, grant_id="g2"),
        j.answer(cid(3), 6.1),
    ]


def tolerating() -> Steps:
    """Somebody else's order and execution on an account that is shared on purpose, in an asset that nobody was granted."""
    return [*j.opening(), j.foreign(1.5, "DOGEUSDT", tolerated=True), j.foreign_move(1.6), *j.placed(cid(1), 2), j.answer(cid(1), 2.1)]


def tightening() -> Steps:
    """Limits are tightened twice: an order under each, a permit that is called off between, and a next life with the limits of its start."""
    once = j.sheet(max_order_lots=20)
    twice = {**j.sheet(max_order_lots=15), "account": {**once["account"], "shock_millionths": 400_000}}
    lots = j.change("symbols", "bybit:BTCUSDT", "max_order_lots", 100)
    again = [{**lots, "was": "20"}, j.change("account", "", "shock_millionths", 300_000)]
    return [
        *j.limited(j.opening()),
        *j.placed(cid(1), 2, lots=50),
        j.answer(cid(1), 2.1),
        *j.placed(cid(2), 3)[:3],
        j.tighten(3.1, j.sheet(), once, lots),
        j.r("not_sent", 3.2, client_id=cid(2), revision=0, reason="limits"),
        *j.placed(cid(3), 4, evaluations=j.bounded(once)),
        j.answer(cid(3), 4.1),
        j.tighten(5, once, twice, *again),
        *j.placed(cid(4), 6, evaluations=j.bounded(twice)),
        j.answer(cid(4), 6.1),
        *j.limited(j.opening(1, 10, 101, "g2", "n2")),
        j.r("tick", 12, wall_ns=WALL + 12 * S),
    ]


def tightened_to(key: str, was: Any, now: Any, table: str = "symbols", name: str = "bybit:BTCUSDT") -> Steps:
    """One tightening, honest in everything but perhaps its direction."""
    held, wanted = (j.sheet() for _ in range(2))
    for sheet, found in ((held, was), (wanted, now)):
        (sheet[table][name] if name else sheet[table])[key] = found
    return [
        *j.limited(j.opening(), held),
        j.tighten(3, held, wanted, j.change(table, name, key, was)),
        j.r("tick", 4, wall_ns=WALL + 4 * S),
    ]


def after_an_outage() -> Steps:
    """Absence that executions and position had to speak for."""
    records = j.honest()
    at = j.find(records, "absent")
    return j.changed(records, at, fills_complete_venue_ns=WALL + 11 * S, position_explained=True)


HONEST: dict[str, Callable[[], Steps]] = {
    "one life": j.honest,
    "two lives": two_lives,
    "called off": held_back,
    "reducing": reducing,
    "killed": killed,
    "settled": settled,
    "quarantined": quarantined,
    "interlocked": interlocked,
    "drilling": drilling,
    "tolerating": tolerating,
    "after an outage": after_an_outage,
    "tightening": tightening,
    "a number that may rise": lambda: tightened_to("shock_millionths", 300_000, 300_001, "account", ""),
    "a list that loses an entry": lambda: tightened_to("allow", [{"side": 1}, {"side": -1}], [{"side": -1}]),
    "factors that fall": lambda: tightened_to("tightening", [[1, 9], [2, 5]], [[1, 9], [2, 4]]),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_trace_passes(tmp_path: Path, name: str) -> None:
    report = judged(tmp_path, HONEST[name]())
    assert not report.violations, told(report)


def without(records: Steps, kind: str, /, **wanted: Any) -> Steps:
    at = j.find(records, kind, **wanted)
    return records[:at] + records[at + 1 :]


def edited(make: Callable[[], Steps], kind: str, wanted: Map | None = None, **fields: Any) -> Steps:
    records = make()
    return j.changed(records, j.find(records, kind, **(wanted or {})), **fields)


def inserted(make: Callable[[], Steps], after: int, *more: Map) -> Steps:
    records = make()
    after %= len(records)
    return [*records[: after + 1], *more, *records[after + 1 :]]


def before(make: Callable[[], Steps], kind: str, /, *more: Map, **wanted: Any) -> Steps:
    records = make()
    return inserted(make, j.find(records, kind, **wanted) - 1, *more)


def unlatched(*trouble: Map) -> Steps:
    return [*j.opening(), *trouble, j.arm(2.5, "g2"), *j.placed(cid(1), 3, grant_id="g2"), j.answer(cid(1), 3.1)]


def denied_and_written() -> Steps:
    records = reducing()
    records[j.find(records, "permit")] = j.deny(cid(1), 2.01)
    return records


def evaluated(**changes: str) -> list[Map]:
    return [{**one, "value": changes.get(one["limit"], one["value"])} for one in j.permit(cid(1), 2)["evaluations"]]


def shared(value: str, bound: str) -> list[Map]:
    """As evaluated, with another share of a currency's limit."""
    return [{**one, "value": value, "bound": bound} if one["limit"] == "max_currency_loss" else one for one in evaluated()]


def told_again(**changes: Any) -> Map:
    """The roll of the honest journal, later once more."""
    return j.r("day", 31, **{"day": "2027-01-15", "baseline": [["USDT", "1"]], "baseline_usd": "1", "wall_ns": WALL + 31 * S, **changes})


def bound_to(**binding: Any) -> Map:
    grant: Map = j.arm(**binding)["grant"]
    return grant


def drill_grant(expires: float = 61.3, **binding: Any) -> Map:
    grant: Map = j.arm(expires=expires, purpose="drill", **binding)["grant"]
    return grant


def amended(client_id: str, at: float, **permitted: Any) -> Steps:
    return [
        j.intent(client_id, at, revision=1),
        j.permit(client_id, at + 0.01, revision=1, **permitted),
        j.wire(client_id, at + 0.02, revision=1),
        j.sent(client_id, at + 0.03, revision=1),
        j.answer(client_id, at + 0.04, revision=1),
    ]


ONE, AMENDED = {"client_id": cid(1)}, {"client_id": cid(2), "revision": 1}


def epoch_of_ids() -> Steps:
    """An id proposed under an epoch that was never recorded."""
    return inserted(j.honest, -1, j.intent(cid(9, epoch=101), 30), j.deny(cid(9, epoch=101), 30))


def poisoned_fill() -> Steps:
    return inserted(j.honest, -1, {**j.fill(cid(1), 31, 1, "t8"), "lots": -1})


def judged_before() -> Steps:
    """What was called off is written after all."""
    records = without(without(tightening(), "wire", client_id=cid(2)), "not_sent")
    at = j.find(records, "tighten")
    return [*records[: at + 1], j.wire(cid(2), 3.2), j.sent(cid(2), 3.3), j.answer(cid(2), 3.4), *records[at + 1 :]]


LOOSER: dict[str, tuple[Any, ...]] = {
    "max_order_lots": (100, 101),
    "shock_millionths": (300_000, 299_999, "account", ""),
    "peer": ("none", "bybit:ETHUSDT"),
    "drift_window_ns": (5, 6),
    "freshness_rate_ns": (5, 4, "currencies", "USDT"),
    "max_cancels_count": (5, 4, "venues", "bybit"),
    "allow": ([{"side": 1}], [{"side": -1}]),
    "accounts": (["main"], "main", "venues", "bybit"),
    "tightening": ([[1, 9], [2, 5]], [[1, 9], [2, 6]]),
    "max_open_orders_count": (5, True),
}
PLANTED: list[tuple[str, str, Callable[[], Steps]]] = [
    ("S2", "a permit that is missing", lambda: without(j.honest(), "permit", **ONE)),
    ("S2", "a permit of another epoch", lambda: edited(j.honest, "permit", ONE, epoch=99)),
    ("S2", "a write of what was denied", denied_and_written),
    ("S3", "a grant that expired", lambda: edited(j.honest, "arm", grant=bound_to(expires=4.9))),
    ("S3", "a permit by another grant", lambda: edited(j.honest, "permit", ONE, grant_id="g9")),
    (
        "S3",
        "a write after disarming",
        lambda: before(reducing, "latch", j.r("disarm", 1.4, reason="", actor="me", symbol="", mandate_ends=True)),
    ),
    (
        "S3",
        "a write after its symbol was disarmed",
        lambda: before(j.honest, "wire", j.r("disarm", 2, reason="", actor="me", symbol="bybit/BTCUSDT", mandate_ends=False), **ONE),
    ),
    ("S3", "a write at a latch", lambda: before(reducing, "wire", j.latch("operator", 2))),
    ("S3", "a write at HALT", lambda: before(reducing, "wire", j.r("level", 2, level="halt", reason="", actor="", human=False, nonce=""))),
    ("S3", "a write after a kill was wanted", lambda: before(reducing, "wire", j.r("kill_req", 2, source="me", wall_ns=WALL + 2 * S))),
    ("S3", "a write after the deadline", lambda: edited(j.honest, "permit", ONE, deadline_boot_ns=2 * S)),
    ("S3", "a grant minted twice", lambda: inserted(j.honest, 4, j.arm(1.4))),
    ("S3", "a grant that never lived", lambda: edited(j.honest, "arm", grant={**bound_to(), "minted_boot_ns": int(1.4 * S)})),
    ("S3", "a grant after a kill", lambda: [*j.opening(), j.r("kill", 2), j.arm(3, "g2")]),
    ("S3", "a drill's grant of a minute and more", lambda: edited(drilling, "arm", grant=drill_grant(expires=61.4))),
    (
        "S3",
        "a drill's grant with a mandate",
        lambda: edited(drilling, "arm", grant={**drill_grant(), "mandate_until_boot_ns": 62 * S}),
    ),
    (
        "S3",
        "a drill's grant for two symbols",
        lambda: edited(drilling, "arm", grant=drill_grant(symbols=[["bybit", "BTCUSDT", "m"], ["bybit", "ETHUSDT", "m"]])),
    ),
    ("S3", "two writes under a drill's grant", lambda: edited(drilling, "permit", {"client_id": cid(2)}, grant_id="g1")),
    ("S3", "a second write under a drill's grant", lambda: before(drilling, "drill", *j.placed(cid(9), 2.5), kind="order")),
    ("S3", "a reduction under a drill's grant", lambda: edited(drilling, "permit", ONE, mandate="hedge")),
    ("S3", "an amend of a drill's order", lambda: before(drilling, "report", *amended(cid(1), 2.5))),
    (
        "S3",
        "a write after its drill was ended for a symbol",
        lambda: before(drilling, "wire", j.r("disarm", 2, reason="", actor="me", symbol="bybit/ETHUSDT", mandate_ends=False), **ONE),
    ),
    ("S4", "a grant for another build", lambda: edited(j.honest, "arm", grant=bound_to(build="other"))),
    ("S4", "a symbol that was not granted", lambda: edited(j.honest, "arm", grant=bound_to(symbols=[["bybit", "ETHUSDT", "m"]]))),
    ("S5", "a raise by automation", lambda: edited(j.honest, "level", human=False)),
    ("S5", "a raise with a nonce that was used", lambda: edited(two_lives, "level", {"nonce": "n2"}, nonce="n1")),
    ("S1", "a fill of what was not sent", lambda: [*j.opening(), j.unsent(cid(1), 2, 9), j.fill(cid(1), 2.2, 4)]),
    ("S1", "a report of what was not sent", lambda: [*j.opening(), j.unsent(cid(1), 2, 9), j.report(cid(1), 2.3, "open", 0)]),
    ("S1", "an order of this journal that was not sent", lambda: [*j.honest(), j.unsent(cid(2), 30, 9)]),
    ("S1", "a permit that was not sent twice", lambda: [*j.opening(), j.unsent(cid(1), 2, 9), j.unsent(cid(2), 3, 9)]),
    ("S26", "a side that is none of what was not sent", lambda: [*j.opening(), j.unsent(cid(1), 2, 9, side=0)]),
    ("S5", "an attestation by nobody", lambda: [*j.honest(), j.attest(30, actor="")]),
    ("S5", "an attestation without a word", lambda: [*j.honest(), j.attest(30, statement="")]),
    ("S5", "an attestation without a nonce", lambda: [*j.honest(), j.attest(30, "")]),
    ("S5", "an attestation with a nonce that was used", lambda: [*j.honest(), j.attest(30), j.attest(31)]),
    ("S5", "a raise with the nonce of an attestation", lambda: inserted(two_lives, 5, j.attest(2, "n2"))),
    ("S5", "an attestation for longer than 30 days", lambda: [*j.honest(), j.attest(30, days=30.1)]),
    ("S5", "an attestation for no time", lambda: [*j.honest(), j.attest(30, days=0)]),
    ("S5", "an attestation of no key", lambda: [*j.honest(), j.attest(30, fingerprint="")]),
    ("S5", "an attestation of nothing", lambda: [*j.honest(), j.attest(30, withdraw=None)]),
    ("S5", "a script that attests away from loopback", lambda: [{**j.boot(), "endpoint": "testnet"}, j.attest(2)]),
    ("S5", "a raise before any reconciliation", lambda: without(two_lives(), "recon", boot_ns=int(10.3 * S))),
    ("S5", "a raise after a kill", lambda: [*j.opening(), j.r("kill", 2), j.run(3, "n2")]),
    ("S7", "an id of another epoch", epoch_of_ids),
    ("S7", "an epoch that does not rise", lambda: inserted(j.honest, 1, j.r("epoch", 1, number=100))),
    ("S7", "an id that was used", lambda: inserted(j.honest, -1, j.intent(cid(1), 30))),
    ("S7", "an id that is none", lambda: inserted(j.honest, -1, j.intent("short", 30), j.deny("short", 30))),
    (
        "S7",
        "an id of another writer",
        lambda: inserted(j.honest, -1, j.intent(cid(9, tail="another"), 30), j.deny(cid(9, tail="another"), 30)),
    ),
    ("S7", "a revision that skips", lambda: inserted(j.honest, -1, j.intent(cid(1), 30, revision=2), j.deny(cid(1), 30, revision=2))),
    ("S7", "a revision of nothing", lambda: inserted(j.honest, -1, j.intent(cid(9), 30, revision=1), j.deny(cid(9), 30, revision=1))),
    ("S8", "a second write", lambda: before(j.honest, "sent", j.wire(cid(1), 2.025), **ONE)),
    ("S8", "new risk beside an unknown leg", lambda: without(quarantined(), "release")),
    ("S9", "absence with one list", lambda: edited(j.honest, "absent", sightings=j.absent(cid(4), 12, cid(5))["sightings"][:2])),
    ("S9", "absence too early", lambda: edited(j.honest, "absent", not_before_venue_ns=WALL + 6 * S)),
    ("S9", "absence where requests never expire", lambda: edited(j.honest, "sent", {"client_id": cid(4)}, receive_window_ns=0)),
    ("S9", "absence with no later order", lambda: edited(j.honest, "absent", sightings=j.absent(cid(4), 12, "")["sightings"])),
    ("S9", "absence of what was shown", lambda: inserted(j.honest, -1, j.absent(cid(1), 31, cid(5)))),
    (
        "S9",
        "an end without evidence",
        lambda: before(reducing, "answer", j.r("not_sent", 2.05, client_id=cid(1), revision=0, reason="timeout")),
    ),
    ("S9", "not sent without a permit", lambda: inserted(j.honest, -1, j.r("not_sent", 30, client_id=cid(3), revision=0, reason=""))),
    (
        "S9",
        "not sent by a later life",
        lambda: [
            *[one for one in two_lives() if not (one["k"] in ("sent", "report") and one["client_id"] == cid(1)) and one["k"] != "unknown"],
            j.r("not_sent", 12, client_id=cid(1), revision=0, reason=""),
        ],
    ),
    ("S9", "a rejection without a code", lambda: edited(j.honest, "answer", {"client_id": cid(5)}, code="")),
    ("S9", "an answer to nothing", lambda: inserted(j.honest, -1, j.answer(cid(3), 30))),
    ("S9", "a send told twice", lambda: inserted(j.honest, j.find(j.honest(), "sent", **ONE), j.sent(cid(1), 2.04))),
    (
        "S9",
        "absence by a position that was not explained",
        lambda: before(after_an_outage, "absent", j.recon(11.5, False), j.latch("unexplained", 11.6)),
    ),
    ("S9", "a release by nobody", lambda: edited(quarantined, "release", actor="")),
    ("S9", "a release of what was not quarantined", lambda: without(quarantined(), "quarantine")),
    ("S9", "a report without the venue's time", lambda: edited(j.honest, "report", ONE, venue_ns=0)),
    ("S10", "more reported than ordered", lambda: edited(j.honest, "report", ONE, filled_lots=11)),
    ("S10", "a reversal nobody latched", lambda: without(settled(), "latch", name="reversal")),
    (
        "S10",
        "an execution after the end",
        lambda: [*without(j.honest(), "tick", boot_ns=30 * S), j.fill(cid(2), 30, 1, "t9"), *j.placed(cid(6), 31), j.answer(cid(6), 31.1)],
    ),
    ("S11", "an order above the cap", lambda: edited(j.honest, "permit", ONE, cap_usd="0.5")),
    ("S11", "a cap above the grant's", lambda: edited(j.honest, "permit", ONE, cap_usd="1001")),
    ("S11", "an order valued too low", lambda: edited(j.honest, "permit", ONE, notional_usd="0.9")),
    ("S11", "an order valued at nothing", lambda: edited(j.honest, "permit", ONE, notional_usd="0")),
    ("S11", "a rate that is missing", lambda: edited(j.honest, "permit", ONE, usd_rates=[])),
    ("S11", "another size judged", lambda: edited(j.honest, "permit", ONE, evaluations=evaluated(max_order_lots="9"))),
    ("S11", "a worst case above the cap", lambda: [*j.opening(), *j.placed(cid(1), 2, cap_usd="1.5"), *j.placed(cid(2), 3, cap_usd="1.5")]),
    (
        "S11",
        "a position and an order above the cap",
        lambda: [*j.opening(), *j.placed(cid(1), 2), j.fill(cid(1), 3, 10), *j.placed(cid(2), 4, cap_usd="1.5")],
    ),
    ("S14", "a difference nobody latched", lambda: unlatched(j.recon(2, False))),
    ("S15", "foreign activity nobody latched", lambda: unlatched(j.foreign(2))),
    ("S15", "foreign activity tolerated where the gate trades", lambda: unlatched(j.foreign(2, tolerated=True))),
    ("S15", "an execution of others booked as theirs where the gate trades", lambda: unlatched(j.foreign_move(2, "BTCUSDT"))),
    (
        "S15",
        "an execution that is not ours",
        lambda: [*j.opening(), j.fill("", 2, 1), *j.placed(cid(1), 3), j.answer(cid(1), 3.1)],
    ),
    (
        "S15",
        "a report of a stranger",
        lambda: [*j.opening(), j.report(cid(7), 2, "open", 0), *j.placed(cid(1), 3), j.answer(cid(1), 3.1)],
    ),
    ("S16", "a latch that a boot forgot", lambda: without(two_lives(), "unlatch")),
    ("S16", "a kill that a boot forgot", lambda: without(killed(), "unlatch")),
    ("S16", "a latch cleared by nobody", lambda: edited(two_lives, "unlatch", actor="")),
    (
        "S16",
        "a baseline that changed",
        lambda: inserted(j.honest, -1, j.r("day", 31, day="2027-01-15", baseline=[], baseline_usd="0", wall_ns=WALL + 31 * S)),
    ),
    (
        "S16",
        "another price in a baseline",
        lambda: inserted(j.honest, -1, told_again(marks=[["bybit", "desk", "BTCUSDT", 9]])),
    ),
    (
        "S16",
        "a day that went back",
        lambda: inserted(j.honest, -1, j.r("day", 31, day="2027-01-14", baseline=[], baseline_usd="0", wall_ns=WALL + 31 * S)),
    ),
    ("S17", "a write after the kill", lambda: before(reducing, "wire", j.r("kill", 2.015))),
    ("S18", "a crossed book", lambda: edited(j.honest, "permit", ONE, books=[{**j.book(2), "bid_ticks": 1001}])),
    ("S20", "new risk at REDUCE_ONLY", lambda: edited(reducing, "permit", mandate="")),
    ("S20", "a clause that is none", lambda: edited(reducing, "permit", mandate="because")),
    ("S24", "a cancel of what is not ours", lambda: edited(j.honest, "cancel_sent", client_id=cid(8))),
    ("S24", "a cancel nobody wanted", lambda: without(j.honest(), "cancel")),
    ("S24", "a cancel by the gate after a kill", lambda: before(killed, "report", j.r("cancel_sent", 3.02, client_id=cid(1), attempt=1))),
    (
        "S24",
        "a cancel of a stranger while a kill is wanted",
        lambda: before(killed, "kill", j.r("cancel_sent", 3.006, client_id="stranger", attempt=1)),
    ),
    ("S26", "a kind that is unknown", lambda: inserted(j.honest, -1, j.r("surprise", 30))),
    ("S26", "a field that is unknown", lambda: edited(j.honest, "tick", more=1)),
    ("S26", "no number", lambda: edited(j.honest, "mark", equity_usd="NaN")),
    ("S26", "text that is no amount", lambda: edited(j.honest, "mark", equity_usd="much")),
    ("S26", "a negative size", poisoned_fill),
    ("S26", "a state that is none", lambda: edited(j.honest, "mark", realised_usd=1.5)),
    ("S26", "a map that is no map", lambda: edited(j.honest, "snap", positions=[["BTCUSDT"]])),
    ("S26", "a list that is no list", lambda: edited(j.honest, "snap", positions="none")),
    ("S27", "an intent without an answer", lambda: without(j.honest(), "deny")),
    ("S27", "two answers", lambda: inserted(j.honest, j.find(j.honest(), "deny"), j.deny(cid(3), 4.02))),
    ("S28", "a life that began twice", lambda: inserted(j.honest, -1, j.boot(31))),
    (
        "S28",
        "a life before the last one's records",
        lambda: edited(two_lives, "boot", {"incarnation": LIFE[1]}, boot_ns=2 * S, wall_ns=WALL + 2 * S),
    ),
    ("S4", "a tightening of other limits", lambda: edited(tightening, "tighten", before="0" * 64)),
    ("S4", "a tightening to other limits than it names", lambda: edited(tightening, "tighten", after="0" * 64)),
    ("S4", "a tightening that does not tell what it changed", lambda: edited(tightening, "tighten", changes=[])),
    (
        "S4",
        "a tightening that was another",
        lambda: edited(tightening, "tighten", changes=[j.change("symbols", "bybit:BTCUSDT", "max_order_lots", 99)]),
    ),
    (
        "S11",
        "a write that was judged by the limits before",
        judged_before,
    ),
    (
        "S11",
        "a permit by the bounds of the limits before",
        lambda: edited(tightening, "permit", {"client_id": cid(3)}, evaluations=j.bounded(j.sheet())),
    ),
    *(("S11", f"limits that are looser: {key}", lambda case=(key, *case): tightened_to(*case)) for key, case in LOOSER.items()),
    ("S29", "a drill that left an order", lambda: edited(drilling, "drill", {"kind": "order"}, remaining=1)),
    ("S29", "a drill of nothing", lambda: edited(drilling, "drill", {"kind": "order"}, placed=0, cancelled=0)),
    ("S29", "a sweep that the venue refused", lambda: edited(drilling, "drill", {"kind": "sweep"}, authenticated=False)),
    ("S29", "a limit that was not evaluated", lambda: edited(j.honest, "permit", ONE, evaluations=evaluated()[1:])),
    ("S29", "a limit that did not hold", lambda: edited(j.honest, "permit", ONE, evaluations=evaluated(shock="1"))),
    ("S29", "a share of more than the whole", lambda: edited(j.honest, "permit", ONE, evaluations=shared("1900000", "2000000"))),
    ("S29", "a limit that is not known", lambda: edited(j.honest, "permit", ONE, evaluations=evaluated(shock="-1"))),
]


@pytest.mark.parametrize(("invariant", "what", "make"), PLANTED, ids=[f"{s}-{what}" for s, what, _ in PLANTED])
def test_a_planted_violation_is_caught_by_its_rule(tmp_path: Path, invariant: str, what: str, make: Callable[[], Steps]) -> None:
    records = make()
    fills = [one for one in j.truth_of(records) if isinstance(one["is"]["lots"], int) and one["is"]["lots"] > 0]
    report = judged(tmp_path, records, truth=fills)
    assert broken(report) == [invariant], told(report)


@pytest.mark.parametrize(
    "change",
    [
        j.change("symbols", "nobody", "max_order_lots", 100),
        j.change("nothing", "bybit:BTCUSDT", "max_order_lots", 100),
        j.change("account", "", "max_luck", 100),
        {**j.change("symbols", "bybit:BTCUSDT", "max_order_lots", 100), "was": "[" * 100_000},
        {**j.change("symbols", "bybit:BTCUSDT", "max_order_lots", 100), "was": "ten"},
    ],
)
def test_a_tightening_of_what_is_not_there_is_believed_in_nothing(tmp_path: Path, change: Map) -> None:
    report = judged(tmp_path, edited(tightening, "tighten", changes=[change]))
    assert broken(report) == ["S11", "S4"], told(report)


def test_a_missing_intent_is_told_by_the_permit(tmp_path: Path) -> None:
    report = judged(tmp_path, without(j.honest(), "intent", **AMENDED))
    assert report.violations[0].invariant == "S2"


def test_every_invariant_is_checked_or_named(tmp_path: Path) -> None:
    report = judged(tmp_path, j.honest())
    assert {*report.checked, *report.not_checked} == {f"S{n}" for n in range(1, 31)}
    assert (report.checked, report.not_checked) == (CHECKED, NOT_CHECKED)
    alone = check(tmp_path / "journal")
    assert "S1" not in alone.checked
    assert {"S1", "S11", "S14", "S17", "S24"} < set(alone.not_checked)
    planted = {invariant for invariant, _, _ in PLANTED}
    assert planted | {"S1", "S13"} == set(CHECKED), "S1 and S13 are planted in the bytes and the witness below"


@pytest.mark.parametrize(
    ("kernels", "expected"),
    [(("k", "k"), ["S28"]), (("k", "other"), []), (("", ""), []), (("k", ""), [])],
)
def test_time_goes_on_within_a_boot_of_the_host_that_is_known_to_be_the_same(
    tmp_path: Path, kernels: tuple[str, str], expected: list[str]
) -> None:
    steps = [dict(one, **{"kernel_boot_id": kernels[0]} if one["k"] == "boot" else {}) for one in [*j.opening(), *j.placed(cid(1), 2)]]
    late = [j.boot(1.5, 1, kernels[1]), j.r("epoch", 1.5, number=101), j.r("unknown", 1.5, client_id=cid(1), revision=0, reason="ended")]
    report = judged(tmp_path, [*steps, *late])
    assert broken(report) == expected, told(report)


@pytest.mark.parametrize(
    ("kernels", "expected"),
    [(("k", "k"), ["S1"]), (("k", "other"), []), (("", ""), []), (("k", ""), [])],
)
def test_a_send_without_a_beginning_is_excused_where_the_power_may_have_taken_it(
    tmp_path: Path, kernels: tuple[str, str], expected: list[str]
) -> None:
    steps = [dict(one, **{"kernel_boot_id": kernels[0]} if one["k"] == "boot" else {}) for one in [*j.opening(), *j.placed(cid(1), 2)]]
    lines = j.lines_of(steps)
    lost = [one for one in steps if one["k"] not in ("wire", "sent")]
    late = [j.boot(10, 1, kernels[1]), j.r("epoch", 10, number=101), j.r("unknown", 10, client_id=cid(1), revision=0, reason="ended")]
    report = judged(tmp_path, [*lost, *late], lines)
    assert broken(report) == expected, told(report)


# The venue's side


def changed_line(at: int, **fields: Any) -> list[Map]:
    lines = j.lines_of(j.honest())
    lines[at].update(fields)
    return lines


RISKY = [at for at, one in enumerate(j.lines_of(j.honest())) if one["class"] == "RISK+"]


@pytest.mark.parametrize(
    ("invariant", "lines"),
    [
        ("S1", j.lines_of(j.honest())[1:]),
        ("S1", [*j.lines_of(j.honest()), j.line("RISK+", "place", cid(77), 0, 3 * S, "h", [])]),
        ("S1", [*j.lines_of(j.honest()), j.line("RISK+", "unreadable", "", 0, 3 * S, "h", [])]),
        ("S1", changed_line(0, body_hash="other")),
        ("S8", [*j.lines_of(j.honest()), j.lines_of(j.honest())[0]]),
        ("S11", changed_line(0, orders=[{"ticks": 1000, "lots": 11, "symbol": "BTCUSDT", "side": 1}])),
        ("S24", [*j.lines_of(j.honest()), j.line("RISK-", "cancel", "stranger", 0, 3 * S, "h", [])]),
    ],
)
def test_what_the_venue_saw_is_joined_with_the_journal(tmp_path: Path, invariant: str, lines: list[Map]) -> None:
    report = judged(tmp_path, j.honest(), lines)
    assert broken(report) == [invariant], told(report)


def test_lines_of_reads_batches_and_the_lost_are_taken_as_they_are(tmp_path: Path) -> None:
    lines = j.lines_of(j.honest())
    first, last = lines[0], lines[-1]
    assert first["orders"]
    first.update(client_id="", children=[[cid(1), 0]])
    last.update(orders=[])
    lines.append(j.line("READ", "open_orders", "", 0, 3 * S, "h", []))
    unseen = [one for one in lines if one["client_id"] != cid(4)]  # its outcome was unknown: it may never have arrived
    assert not judged(tmp_path / "a", j.honest(), lines).violations
    assert not judged(tmp_path / "b", j.honest(), unseen).violations


def test_a_write_that_was_called_off_and_arrived_all_the_same(tmp_path: Path) -> None:
    records = held_back()
    line = j.line("RISK+", "place", cid(1), 0, 2 * S, f"hash-{cid(1)}-0", [])
    assert broken(judged(tmp_path / "a", records, [line])) == ["S1"]
    assert broken(judged(tmp_path / "b", records, [])) == []


def test_a_write_nobody_called_off_is_judged_by_the_witness(tmp_path: Path) -> None:
    records = without(held_back(), "not_sent")
    line = j.line("RISK+", "place", cid(1), 0, 2 * S, f"hash-{cid(1)}-0", [])
    assert broken(judged(tmp_path / "a", records, [line])) == ["S3"]
    assert broken(judged(tmp_path / "b", records, [])) == []
    assert broken(check(tmp_path / "b" / "journal")) == ["S3"], "without a witness it may have been written"


def test_what_was_not_sent_is_no_order_and_must_not_be_at_the_venue(tmp_path: Path) -> None:
    records = [*j.opening(), j.unsent(cid(1), 2, 9), j.unsent(cid(2), 3, 12)]
    assert judged(tmp_path / "a", records, []).violations == []
    line = j.line("RISK+", "place", cid(1), 0, 4 * S, f"hash-{cid(1)}-0", [])
    assert broken(judged(tmp_path / "b", records, [line])) == ["S1"]


def test_a_person_attests_anywhere_and_a_script_on_loopback(tmp_path: Path) -> None:
    assert judged(tmp_path / "a", [*j.honest(), j.attest(30), j.attest(31, "n9", scripted=False, expires_wall_ns=0)]).violations == []
    elsewhere = [{**j.boot(), "endpoint": "testnet"}, j.attest(2, scripted=False)]
    assert judged(tmp_path / "b", elsewhere).violations == []


@pytest.mark.parametrize(("arrived", "found"), [(4.0, []), (5.5, ["S17"]), (9.9, ["S17"]), (10.5, [])])
def test_nothing_arrives_long_after_a_kill(tmp_path: Path, arrived: float, found: list[str]) -> None:
    lines = j.lines_of(killed())
    lines[0]["wall_ns"] = WALL + int(arrived * S)
    assert broken(judged(tmp_path, killed(), lines)) == found


@pytest.mark.parametrize(
    ("invariant", "change"),
    [
        ("S10", lambda truth: [*truth, {**truth[0], "is": {**truth[0]["is"], "trade_id": "t9", "venue_ns": WALL + 99 * S}}]),
        ("S14", lambda truth: truth[1:]),
        ("S14", lambda truth: [{**truth[0], "is": {**truth[0]["is"], "ticks": 999}}, *truth[1:]]),
        ("S14", lambda truth: [*truth, {**truth[0], "is": {**truth[0]["is"], "reversed": True}}]),
        ("S14", lambda truth: [*truth, {**truth[0], "is": {**truth[0]["is"], "trade_id": "t9", "client_id": cid(4), "lots": 1}}]),
    ],
)
def test_executions_are_compared_with_the_venues(tmp_path: Path, invariant: str, change: Callable[[list[Map]], list[Map]]) -> None:
    report = judged(tmp_path, j.honest(), truth=change(j.truth_of(j.honest())))
    assert broken(report) == [invariant], told(report)


def test_other_truths_and_late_executions_are_no_violation(tmp_path: Path) -> None:
    truth = j.truth_of(j.honest())
    late = {**truth[0]["is"], "trade_id": "t9", "client_id": cid(4), "lots": 1, "venue_ns": WALL + 99 * S}
    more = [{"venue": "bybit", "what": "order", "is": {"k": "order"}}, {**truth[0], "is": late}]
    more.append({**truth[0], "is": {**late, "client_id": "", "trade_id": "t10"}})
    assert not judged(tmp_path, j.honest(), truth=[*truth, *more]).violations


def unbooked(second: int = 1, **changes: Any) -> tuple[Steps, list[Map]]:
    """Two orders of 600 USD each under a cap of 1,000, of which the journal books no execution, and what the venue made of them."""
    records: Steps = j.opening()
    truth: Steps = []
    for number, (side, more) in enumerate([(1, {}), (second, changes)], start=1):
        records += [*j.placed(cid(number), number + 1, 1000, side, notional_usd="600", **more), j.answer(cid(number), number + 1.1)]
        records.append(j.report(cid(number), number + 1.2, "cancelled", 0, 1000))
        truth.append(j.fill(cid(number), number + 1.15, 1000, f"t{number}", side))
    return records, j.truth_of(truth)


def test_what_is_held_at_the_venue_is_judged_by_its_own_executions(tmp_path: Path) -> None:
    """A gate that never hears of its executions sees no reason against the next order."""
    records, truth = unbooked()
    assert broken(judged(tmp_path / "a", records)) == []
    (found,) = judged(tmp_path / "b", records, truth=truth).violations
    assert (found.invariant, found.witness_line) == ("S11", 2)
    assert found.sentence == "expected positions worth at most 1000 USD at the venues, found 1200.0 at execution t2"
    assert broken(judged(tmp_path / "c", records, truth=truth[::-1])) == ["S11"]


@pytest.mark.parametrize("case", ["one", "opposite", "taken back", "higher cap", "liquidated", "hedge", "of others"])
def test_what_is_not_certain_is_taken_in_favour_of_what_is_held(tmp_path: Path, case: str) -> None:
    records, truth = unbooked(-1 if case == "opposite" else 1, **({"mandate": "hedge"} if case == "hedge" else {}))
    assert broken(judged(tmp_path / "before", unbooked()[0], truth=unbooked()[1])) == ["S11"]
    match case:
        case "one":
            truth = truth[:1]
        case "taken back":
            truth.append({**truth[0], "is": {**truth[0]["is"], "reversed": True}})
        case "higher cap":
            records.append(j.arm(9, "g9", cap="1200"))
        case "liquidated":
            about = {"kind": "liquidation", "venue": "bybit", "account": "desk", "venue_id": "l1", "currency": "USDT", "amount": "0"}
            records.append(j.r("ledger", 9, **about, symbol="BTCUSDT", lots=-400, ticks=1000, actor="", nonce="", venue_ns=1))
            records.append(j.latch("liquidation", 9.1))
        case "of others":
            truth[1]["is"]["client_id"] = "somebody"
    report = judged(tmp_path / "after", records, truth=truth)
    assert "S11" not in broken(report), told(report)


def test_an_execution_that_the_venue_took_back_without_a_word_is_taken_into_the_books_by_a_person(tmp_path: Path) -> None:
    records, truth = j.honest(), j.truth_of(j.honest())
    (fill,) = [one for one in records if one["k"] == "fill" and one["trade_id"] == truth[0]["is"]["trade_id"]]
    about = {"venue": "bybit", "account": "desk", "currency": "USDT", "amount": "0", "symbol": "BTCUSDT", "ticks": 1000, "venue_ns": 1}

    def with_adjustment(lots: int, venue_id: str = "by hand") -> Steps:
        more = j.r("ledger", records[-1]["boot_ns"] / S, kind="adjust", venue_id=venue_id, lots=lots, actor="a", nonce="n77", **about)
        return [*records, more]

    taken_back = [*truth, {**truth[0], "is": {**truth[0]["is"], "reversed": True}}]
    lots = fill["side"] * fill["lots"]
    for number, (steps, happened, found) in enumerate(
        [
            (records, taken_back, ["S14"]),
            (with_adjustment(-lots), taken_back, []),
            (with_adjustment(lots), taken_back, ["S14"]),
            (with_adjustment(-lots, "opening.n77.position.BTCUSDT"), taken_back, ["S14"]),
            (with_adjustment(-lots), truth[1:], ["S14"]),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        report = judged(tmp_path / str(number), steps, truth=happened)
        assert broken(report) == found, (number, told(report))


def test_what_others_executed_is_booked_under_no_name_of_theirs(tmp_path: Path) -> None:
    records, truth = j.honest(), j.truth_of(j.honest())
    own = truth[0]["is"]["client_id"]
    nobodys = [{**one, "client_id": ""} if one["k"] == "fill" and one["client_id"] == own else one for one in records]

    def others(client_id: str, lots: int = 0) -> list[Map]:
        return [
            {**one, "is": {**one["is"], "client_id": client_id, "lots": lots or one["is"]["lots"]}}
            if one["is"]["client_id"] == own
            else one
            for one in truth
        ]

    for number, (steps, happened, wrong) in enumerate(
        [
            (nobodys, others("somebody-1"), False),
            (nobodys, others("somebody-1", 99), True),
            (nobodys, truth, True),
            (records, others("x"), True),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        report = judged(tmp_path / str(number), steps, truth=happened)
        booked_otherwise = [one for one in report.violations if "as the venue made it" in one.sentence]
        assert bool(booked_otherwise) is wrong, (number, told(report))


def test_prices_in_ticks_of_the_venue_are_compared_by_facts_or_named_as_not_compared(tmp_path: Path) -> None:
    """The witness of the simulators counts in its own ticks, and says how large one is."""
    lines, truth = j.lines_of(j.honest()), j.truth_of(j.honest())
    for line in lines:
        for order in line["orders"]:
            order.update(ticks=order["ticks"] * 10 + 5, tick="0.01")
    for one in truth:
        one["is"].update(ticks=one["is"]["ticks"] * 10 + 5, tick="0.01")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"bybit/ETHUSDT": {"tick": "0.1", "lot": "0.001", "currency": "USDT"}}', encoding="utf-8")
    whole = judged(tmp_path, j.honest(), lines, truth)
    assert {"S11", "S14"} <= set(broken(whole)), "with facts both show that each price is another one"
    assert not {"S11", "S14"} & set(whole.not_checked)
    for known in (None, elsewhere):
        report = check(tmp_path / "journal", witness=tmp_path / "witness.jsonl", truth=tmp_path / "truth.jsonl", facts=read_facts(known))
        assert all("the prices of" in report.not_checked[one] and "bybit/BTCUSDT" in report.not_checked[one] for one in ("S11", "S14"))
        assert ("the worth of an order was taken from its permit" in report.not_checked["S11"]) is (known is None)


def test_a_witness_that_is_missing_fails(tmp_path: Path) -> None:
    journal = j.write(tmp_path / "journal", j.honest())
    report = check(journal, witness=tmp_path / "none", truth=tmp_path / "nothing")
    assert {"S1", "S14"} == set(broken(report))
    assert any("none" in one.sentence and not one.lsn for one in report.violations)


def test_a_witness_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    journal = j.write(tmp_path / "journal", j.honest())
    (tmp_path / "w").write_text("{}\n", encoding="utf-8")
    with pytest.raises(DamagedState, match="line 1"):
        check(journal, witness=tmp_path / "w")


def test_facts_are_read_or_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="check the path"):
        read_facts(tmp_path / "none")
    (tmp_path / "bad").write_text("[]", encoding="utf-8")
    with pytest.raises(BadInput, match="correct the file"):
        read_facts(tmp_path / "bad")
    (tmp_path / "other").write_text('{"bybit/ETHUSDT": {"tick": "1", "lot": "1", "currency": "USD"}}', encoding="utf-8")
    report = check(j.write(tmp_path / "journal", j.honest()), facts=read_facts(tmp_path / "other"))
    assert broken(report) == ["S11"]


# Records that matter

MATTER = ("boot", "epoch", "arm", "level", "intent", "permit", "deny", "wire", "sent", "cancel", "fill")
AGAIN = ("boot", "epoch", "arm", "intent", "permit", "deny", "wire", "sent", "absent")

SPARE = (j.sent(cid(4), 5.03), j.intent(cid(3), 4))
"""Of a send whose outcome is unknown, and of an intent that was denied, the rest can be told without."""


NEWEST = 5
"""The newest schema of records."""


def entries(records: Steps) -> list[Entry]:
    found = []
    for lsn, one in enumerate([copy.deepcopy(one) for one in records], start=1):
        found.append(Entry(lsn, lsn, LIFE[0], one.pop("k"), one, NEWEST))
    return found


def verdict(records: Steps) -> list[Finding]:
    """The rules on records of one life, with the witness of the honest trace; the bytes are other tests' business."""
    checker = Checker()
    found = [finding for entry in entries(records) for finding in checker.take(entry)]
    for number, line in enumerate(j.lines_of(j.honest()), start=1):
        found += checker.join.line(checker.state, number, msgspec.convert(line, Line))
    for number, line in enumerate(j.truth_of(j.honest()), start=1):
        checker.join.execution(number, "bybit", msgspec.convert(line["is"], Execution))
    return found + checker.finish(witnessed=True, truth=True)


@given(st.data())
def test_any_single_loss_or_repetition_of_what_matters_is_caught(data: st.DataObject) -> None:
    records = j.honest()
    assert not verdict(records)
    lost = [at for at, one in enumerate(records) if one["k"] in MATTER and one not in SPARE]
    again = [at for at, one in enumerate(records) if one["k"] in AGAIN]
    at = data.draw(st.sampled_from(lost))
    assert verdict(records[:at] + records[at + 1 :]), records[at]
    at = data.draw(st.sampled_from(again))
    assert verdict(records[: at + 1] + records[at:]), records[at]


def test_a_counted_denial_answers_as_many_intents_as_it_counts() -> None:
    steps = [*j.opening(), *[j.intent(cid(n), 2) for n in (1, 2, 3)], j.deny(cid(1), 2.1, count=2)]
    steps += [j.r("tick", t, wall_ns=WALL) for t in (3, 8, 9)]
    checker = Checker()
    found = [finding.invariant for entry in entries(steps) for finding in checker.take(entry)]
    assert found == ["S27"], "two of three were answered"


def test_a_count_of_proposals_that_left_no_intent_answers_none() -> None:
    counted = j.deny("", 2.1, count=7)
    ticks = [j.r("tick", t, wall_ns=WALL) for t in (8, 9)]
    assert not verdict_of([*j.opening(), counted, *ticks])
    assert [one.invariant for one in verdict_of([*j.opening(), j.intent(cid(1), 2), counted, *ticks])] == ["S27"]


def test_a_denial_answers_the_revision_that_it_names() -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2), j.answer(cid(1), 2.1), j.intent(cid(1), 3, revision=1)]
    ticks = [j.r("tick", t, wall_ns=WALL) for t in (9, 10)]
    assert not verdict_of([*steps, j.deny(cid(1), 3.1, revision=1), *ticks])
    assert [one.invariant for one in verdict_of([*steps, j.deny(cid(1), 3.1), *ticks])] == ["S27", "S27"]


def test_a_drills_write_that_was_called_off_leaves_the_grant_spent() -> None:
    """No byte left, so that the next write is the first; but the permit was the grant's only one."""
    steps = [*j.opening()[:4], j.arm(1.3, expires=61.3, purpose="drill"), *j.placed(cid(1), 2)[:3]]
    steps += [j.r("not_sent", 2.03, client_id=cid(1), revision=0, reason="lease")]
    assert not verdict_of(steps)
    found = verdict_of([*steps, *j.placed(cid(2), 3), j.answer(cid(2), 3.1)])
    assert [(one.invariant, "one permit" in one.sentence) for one in found] == [("S3", True)]
    twice = verdict_of([*j.opening()[:4], j.arm(1.3, expires=61.3, purpose="drill"), *j.placed(cid(1), 2), *j.placed(cid(2), 3)])
    assert [(one.invariant, "one write" in one.sentence) for one in twice] == [("S3", False), ("S3", True)]


def test_after_a_kill_the_sentinel_cancels_what_it_finds(tmp_path: Path) -> None:
    lines = [*j.lines_of(killed()), j.line("RISK-", "cancel", "stranger", 0, 4 * S, "h", [])]
    report = judged(tmp_path / "killed", killed(), lines)
    assert not report.violations, told(report)
    assert broken(judged(tmp_path / "not", reducing(), [*j.lines_of(reducing()), lines[-1]])) == ["S24"]


def test_an_answer_that_the_end_of_the_process_cut_off_is_no_violation() -> None:
    steps = [*j.opening(), j.intent(cid(1), 2)]
    checker = Checker()
    assert not [finding for entry in entries(steps) for finding in checker.take(entry)]
    assert not checker.finish(witnessed=False, truth=False)
    assert [one.invariant for one in verdict_of([*steps, j.recon(3), j.recon(4)])] == ["S27"]


def verdict_of(records: Steps) -> list[Finding]:
    checker = Checker()
    found = [finding for entry in entries(records) for finding in checker.take(entry)]
    return found + checker.finish(witnessed=False, truth=False)


def test_a_permit_in_the_batch_of_its_write_was_not_durable_before_it(tmp_path: Path) -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2)]
    assert not check(j.write(tmp_path / "apart", steps)).violations
    report = check(j.write(tmp_path / "together", steps, together=lambda one: one["k"] == "wire"))
    assert broken(report) == ["S2"]
    assert "synced" in told(report)


def test_a_permit_that_was_read_back_is_not_sent() -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2)[:2], j.boot(10, 1), j.r("epoch", 10, number=101), j.recon(10.1), j.run(10.2, "n2")]
    steps += [j.arm(10.3, "g1b", 1), j.wire(cid(1), 11), j.answer(cid(1), 11.1)]
    assert "S2" in {one.invariant for one in verdict_of(steps)}
    late = [*j.opening(), j.intent(cid(1), 2), j.boot(10, 1), j.r("epoch", 10, number=101), j.permit(cid(1), 11, epoch=101)]
    assert "S2" in {one.invariant for one in verdict_of(late)}


def test_what_was_permitted_and_denied_is_not_sent() -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2)[:2], j.deny(cid(1), 2.01), j.wire(cid(1), 2.02)]
    assert {one.invariant for one in verdict_of(steps)} == {"S2", "S27"}


@pytest.mark.parametrize(
    ("fill", "found"),
    [
        (j.fill(cid(1), 3, 10), []),
        (j.fill(cid(1), 3, 11), ["S10"]),
        (j.fill(cid(1), 3, 1, side=-1), ["S10"]),
        ({**j.fill(cid(1), 3, 1), "symbol": "ETHUSDT"}, ["S10"]),
    ],
)
def test_executions_fit_their_order_and_are_counted_once(fill: Map, found: list[str]) -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2), fill, fill]
    assert [one.invariant for one in verdict_of(steps)] == found


@pytest.mark.parametrize(
    ("lots", "cap", "found"), [(10, "1", []), (20, "2", []), (25, "2.5", []), (20, "0.9", ["S11"]), (30, "1.9", ["S11"])]
)
def test_what_reduces_a_position_is_not_added_to_it(lots: int, cap: str, found: list[str]) -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2), j.fill(cid(1), 3, 10), *j.placed(cid(2), 4, lots, -1, cap_usd=cap)]
    assert sorted({one.invariant for one in verdict_of(steps)}) == found


def test_both_sides_of_a_market_are_not_added_up() -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2, cap_usd="1"), *j.placed(cid(2), 3, side=-1, cap_usd="1")]
    assert not verdict_of(steps)
    steps += j.placed(cid(3), 4, lots=1, cap_usd="1")
    assert [one.invariant for one in verdict_of(steps)] == ["S11"]


def test_a_known_leg_holds_up_nothing() -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2, group="pair"), *j.placed(cid(2), 3, group="pair")]
    assert not verdict_of(steps)


def test_absence_of_what_left_no_signature() -> None:
    """The process died before it could record what it had signed; the rest of the proof still counts."""
    steps = [*j.opening(), *j.placed(cid(1), 2)[:3], j.r("unknown", 3, client_id=cid(1), revision=0, reason="died")]
    steps += [*j.placed(cid(2), 4), j.absent(cid(1), 12, cid(2))]
    assert not verdict_of(steps)


def test_a_report_tells_that_a_forbidden_write_happened() -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2)[:2], j.latch("operator", 2), j.wire(cid(1), 2.02), j.report(cid(1), 3, "open", 0)]
    checker = Checker()
    found = [(finding.invariant, finding.lsn) for entry in entries(steps) for finding in checker.take(entry)]
    assert found == [("S3", 9)]


def test_an_interlock_of_the_symbol_holds_and_of_another_does_not() -> None:
    def with_trip(symbol: str) -> Steps:
        name = {"name": "feed_stale", "scope": "symbol", "subject": symbol}
        return [*j.opening(), j.r("trip", 1.5, **name, level="reduce_only", reason="", evidence={}), *j.placed(cid(1), 2)]

    assert [one.invariant for one in verdict_of(with_trip("bybit/BTCUSDT"))] == ["S20"]
    assert not verdict_of(with_trip("bybit/ETHUSDT"))


def test_a_milder_latch_does_not_lift_a_standing_one() -> None:
    steps = [*j.opening(), j.latch("a", 1.5), j.latch("a", 1.6, "reduce_only"), *j.placed(cid(1), 2)]
    assert [one.invariant for one in verdict_of(steps)] == ["S3"]


def test_a_latch_on_one_order_does_not_settle_foreign_activity() -> None:
    steps = [*j.opening(), j.foreign(1.5), j.latch("x", 1.6, scope="order", subject=cid(8)), j.arm(1.7, "g2")]
    assert {one.invariant for one in verdict_of([*steps, *j.placed(cid(1), 2, grant_id="g2")])} == {"S15"}


def test_disarming_ends_the_grant_and_leaves_the_mandate() -> None:
    off = j.r("disarm", 1.5, reason="", actor="me", symbol="", mandate_ends=False)
    assert not verdict_of([*j.opening(), off, *j.placed(cid(1), 2, mandate="hedge")])
    assert [one.invariant for one in verdict_of([*j.opening(), off, *j.placed(cid(1), 2)])] == ["S3"]


def test_a_difference_is_settled_when_every_account_is_explained() -> None:
    other = {**j.recon(1.6, False), "account": "other"}
    steps = [*j.opening(), j.recon(1.5, False), other, j.recon(1.7), j.arm(1.8, "g2"), *j.placed(cid(1), 2, grant_id="g2")]
    assert "S14" in {one.invariant for one in verdict_of(steps)}
    settled_too = [*steps[:8], {**other, "explained": True}, *steps[8:]]
    assert not verdict_of(settled_too)


EVERYTHING = [one for make in HONEST.values() for one in make()]


@given(st.lists(st.sampled_from(EVERYTHING), max_size=60), st.permutations(EVERYTHING))
def test_no_order_of_records_stops_the_checker(some: Steps, mixed: Steps) -> None:
    """Records without what they refer to, twice, and in any order: there are findings, and never an error."""
    assert verdict_of([*some, *mixed])
    assert isinstance(verdict_of(some), list)


def test_an_amend_that_came_to_nothing_leaves_its_order(tmp_path: Path) -> None:
    steps = [*j.opening(), *j.placed(cid(1), 2), j.answer(cid(1), 2.1)]
    for revision, at in ((1, 3.0), (2, 4.0)):
        steps += [j.intent(cid(1), at, revision, 20), j.permit(cid(1), at, revision, 20), j.wire(cid(1), at, revision)]
        if revision == 1:
            steps.append(j.r("not_sent", at, client_id=cid(1), revision=1, reason="expired"))
    steps += [j.sent(cid(1), 4.1, 2), j.answer(cid(1), 4.2, "rejected", 2, "order_not_found"), j.fill(cid(1), 5, 10)]
    report = judged(tmp_path, steps)
    assert not report.violations, told(report)


def test_an_order_of_nothing_is_worth_nothing() -> None:
    steps = [*j.opening(), j.intent(cid(1), 2, lots=0), j.permit(cid(1), 2, lots=0)]
    assert [one.invariant for one in verdict_of(steps)] == ["S11"]


def test_the_lines_of_the_fake_venue_are_read(tmp_path: Path) -> None:
    written: list[bytes] = []
    witness = Witness(ManualClock(WALL), written.append, written.append)
    order = wire.NewOrder(
        client_id=cid(1), symbol="BTCUSDT", side=Side.BUY, type=OrderType.LIMIT, tif=TimeInForce.GTC, reduce_only=False, ticks=1000, lots=10
    )
    requests = [wire.Place(order=order), wire.PlaceBatch(orders=(order, order)), wire.Cancel(client_id=cid(1)), wire.ReadTime(), None]
    for request in requests:
        witness.request("bybit", "c1", b"frame" if request is None else wire.encode(request), request)
    lines = [read_line(tmp_path, number, line) for number, line in enumerate(written, start=1)]
    assert [one.raising for one in lines] == [True, True, False, False, True]
    assert [len(one.keys) for one in lines] == [1, 2, 1, 0, 0]
    assert (lines[0].orders[0].lots, lines[0].orders[0].side) == (10, 1)


def test_a_day_that_is_told_again_as_it_was_is_no_violation() -> None:
    """The control of those that change it."""
    assert verdict(inserted(j.honest, -1, told_again())) == []
