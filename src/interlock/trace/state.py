"""What the checker remembers of a journal: a fold of its own, made of plain maps. It judges nothing; the rules ask it before each record is folded.

What a record claims is taken up even where a rule finds fault with it, so that one fault is told once and not again with everything after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from interlock.trace.values import Entry, Fields, Finding, Key

OPENING: Final = "opening."
"""How the ids of the adjustments begin by which a journal takes an account over."""

Market = tuple[str, str, str]
"""(venue, account, symbol)."""
RANK: Final = {"halt": 0, "cancel_only": 1, "reduce_only": 2, "run": 3}
INCARNATION_WIDTH: Final = 7
"""Characters at the end of a client id that are of the process life that made it."""
FINAL: Final = frozenset({"filled", "cancelled", "expired", "rejected", "absent", "not_sent"})


@dataclass(slots=True)
class Request:
    """One placement or amend: the records about it, and in which life and batch they stand."""

    intent: Entry
    life: int
    answers: int = 0
    denied: bool = False
    permit: Entry | None = None
    permit_life: int = 0
    wires: int = 0
    wire: Entry | None = None
    wire_life: int = 0
    sent: Fields | None = None
    not_sent: bool = False
    unknown: bool = False
    unknown_life: int = 0
    answered: str = ""

    @property
    def key(self) -> Key:
        """(client id, revision)."""
        return self.intent.key


@dataclass(slots=True)
class Order:
    """One order over its revisions. Sizes in lots; `unit_usd` is what a permit valued one lot at."""

    market: Market
    group: str
    side: int
    lots: int
    least_lots: int = 0
    """Of its revisions that were permitted, the smallest size: what it asks for at least, whatever became of its amends."""
    unit_usd: Decimal = Decimal(0)
    filled: int = 0
    reported: int = 0
    shown: bool = False
    unknown: bool = False
    quarantined: bool = False
    final: str = ""
    cancel_wanted: bool = False
    signed_wall_ns: int = 0
    window_ns: int = 0


@dataclass(slots=True)
class Latch:
    """A latch in force, with the life that set it."""

    level: str
    life: int


@dataclass(slots=True)
class Pair:
    """A group whose record reserved two legs, with the orders that were permitted in it."""

    record: Entry
    client_ids: set[str]

    def leg_on(self, market: Market) -> int | None:
        """Which leg is on a market; None if neither is."""
        for number, leg in enumerate(self.record.fields["legs"]):
            if (leg["venue"], leg["account"], leg["symbol"]) == market:
                return number
        return None


LatchKey = tuple[str, str, str]
"""(name, scope, subject)."""


@dataclass(slots=True)
class State:
    """The fold. What belongs to one process life is reset by `boot`."""

    life: int = 0
    boot: Fields = field(default_factory=dict)
    boot_batch: int = 0
    last: Entry | None = None
    incarnations: set[str] = field(default_factory=set)
    epoch: int | None = None
    last_epoch: int = -1
    id_incarnation: str = ""
    grant: Fields | None = None
    grants: set[str] = field(default_factory=set)
    highest_cap_usd: Decimal = Decimal(0)
    """Of all grants of all process lives."""
    traded: set[tuple[str, str]] = field(default_factory=set)
    """(venue, symbol) of all that was ever granted."""
    drills: set[str] = field(default_factory=set)
    """Grants that were for a kill drill, each good for one order."""
    drill_permits: dict[str, Key] = field(default_factory=dict)
    drill_wires: dict[str, Key] = field(default_factory=dict)
    """By such a grant: the first permit under it, and the first write that nothing called off."""
    ended: str = ""
    mandate_over: str = ""
    symbols_out: set[str] = field(default_factory=set)
    symbols_over: set[str] = field(default_factory=set)
    killing_lsn: int = 0
    kill_lsn: int = 0
    base: str = "halt"
    latches: dict[LatchKey, Latch] = field(default_factory=dict)
    trips: dict[LatchKey, str] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    """By venue: the venue time of the last snapshot that was found explained."""
    snapped: dict[tuple[str, str], int] = field(default_factory=dict)
    explained: set[tuple[str, str]] = field(default_factory=set)
    unexplained: set[tuple[str, str]] = field(default_factory=set)
    nonces: set[str] = field(default_factory=set)
    requests: dict[Key, Request] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    """By group, of this process life."""
    live: set[str] = field(default_factory=set)
    open_intents: dict[Key, Request] = field(default_factory=dict)
    counted_denials: dict[str, int] = field(default_factory=dict)
    fills: dict[tuple[str, str, str, str], tuple[str, int, int]] = field(default_factory=dict)
    kernels: dict[int, str] = field(default_factory=dict)
    """By process life: the boot of the host that it ran on."""
    cancels_sent: dict[str, int] = field(default_factory=dict)
    reversals: set[tuple[str, str, str, str]] = field(default_factory=set)
    """Executions that the venue took back."""
    adjusted: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    """How often a person took so many lots of a market into the books, signed."""
    positions: dict[Market, int] = field(default_factory=dict)
    moved: dict[Market, tuple[int, int]] = field(default_factory=dict)
    """What else than executions moved a position: lots down, as a negative number, and lots up."""
    lowest_unit_usd: dict[Market, Decimal] = field(default_factory=dict)
    owed: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By invariant: the record after which a latch is owed before new risk, and why."""
    days: dict[str, Fields] = field(default_factory=dict)
    newest_day: str = ""
    wall_offset_ns: int = 0
    kills: list[tuple[int, int]] = field(default_factory=list)
    """(wall time of a kill, wall time of the boot after it or 0)."""
    held: dict[Key, list[Finding]] = field(default_factory=dict)
    """Found at the wire and not told yet: a write that is proven not to have happened breaks nothing."""
    sends: int = 0
    unsent: dict[str, int] = field(default_factory=dict)
    """By client id: the record that says that an order was permitted elsewhere and not sent to this account."""
    unsent_permits: int = 0
    """The last permit, in the journal of the gate that gave it, of which that was said."""
    limits: str = ""
    """The hash of the limits in force, the record since which they are, and the sheet itself once a tightening has told it in this process life."""
    limits_lsn: int = 0
    sheet: Fields | None = None

    def level_of(self, request: Request) -> tuple[str, list[Latch]]:
        """The lowest level that holds for a request, and the latches that hold for it below RUN."""
        about = request.intent.fields
        subjects = {
            "symbol": f"{about['venue']}/{about['symbol']}",
            "strategy": about["strategy"],
            "account": f"{about['venue']}/{about['account']}",
            "order": about["client_id"],
        }
        levels, latched = [self.base], []
        for (_, scope, subject), latch in self.latches.items():
            if not subject or scope == "all" or subjects[scope] == subject:
                levels.append(latch.level)
                latched.append(latch)
        for (_, scope, subject), level in self.trips.items():
            if not subject or scope == "all" or subjects[scope] == subject:
                levels.append(level)
        return min(levels, key=RANK.__getitem__), latched

    def fold(self, entry: Entry) -> None:
        """Take one record up; kinds that no rule asks about change nothing."""
        if entry.kind in ("boot", "tick", "arm", "kill_req", "day", "tighten", "attest"):
            self.wall_offset_ns = int(entry.fields["wall_ns"]) - entry.boot_ns
        handler = _HANDLERS.get(entry.kind)
        if handler is not None:
            handler(self, entry)
        self.last = entry

    def owe(self, invariant: str, entry: Entry, why: str) -> None:
        """From now on a latch is due before the next new risk."""
        self.owed.setdefault(invariant, (entry.lsn, why))

    def power_took_the_beginning(self, request: Request) -> bool:
        """Whether a write whose beginning is in no record can have lost it with the power: the host was booted anew, and the outcome is unknown.

        A boot that could not be read may be another one each time.
        """
        if request.permit is None or not request.unknown or request.not_sent:
            return False
        lives = range(request.permit_life, request.unknown_life + 1)
        kernels = {self.kernels.get(life) for life in lives}
        return len(kernels) > 1 or (len(lives) > 1 and not all(kernels))

    def end(self, client_id: str, how: str) -> None:
        """The order cannot change anything any more."""
        order = self.orders.get(client_id)
        if order is not None:
            order.final, order.unknown = how, False
            self.live.discard(client_id)


def _boot(state: State, entry: Entry) -> None:
    state.life += 1
    state.boot, state.boot_batch = entry.fields, entry.batch
    state.kernels[state.life] = entry.fields["kernel_boot_id"]
    state.incarnations.add(entry.fields["incarnation"])
    state.epoch, state.id_incarnation = None, ""
    state.grant, state.ended, state.mandate_over = None, "", ""
    state.symbols_out, state.symbols_over = set(), set()
    state.limits, state.limits_lsn, state.sheet = entry.fields["limits"], entry.lsn, None
    state.killing_lsn = state.kill_lsn = 0
    state.base, state.trips = "halt", {}
    state.pairs = {}
    state.explained, state.unexplained = set(), set()
    state.kills = [(begin, end or int(entry.fields["wall_ns"])) for begin, end in state.kills]
    for client_id in state.live:
        # What waited for an answer will not get it any more.
        order, request = state.orders[client_id], state.requests.get((client_id, 0))
        order.unknown = order.unknown or (not order.shown and request is not None and request.wire is not None)


def _epoch(state: State, entry: Entry) -> None:
    state.epoch = entry.fields["number"]
    state.last_epoch = max(state.last_epoch, entry.fields["number"])


def _tighten(state: State, entry: Entry) -> None:
    state.limits, state.limits_lsn, state.sheet = entry.fields["after"], entry.lsn, entry.fields["sheet"]


def _attest(state: State, entry: Entry) -> None:
    state.nonces.add(entry.fields["nonce"])


def _arm(state: State, entry: Entry) -> None:
    state.grant = entry.fields["grant"]
    state.grants.add(state.grant["grant_id"])
    state.highest_cap_usd = max(state.highest_cap_usd, Decimal(state.grant["cap_usd"]))
    state.nonces.add(state.grant["grant_id"])
    state.traded.update((venue, symbol) for venue, symbol, _ in state.grant["binding"]["symbols"])
    if state.grant["purpose"] == "drill":
        state.drills.add(state.grant["grant_id"])
    state.ended = state.mandate_over = ""
    state.symbols_out, state.symbols_over = set(), set()


def _disarm(state: State, entry: Entry) -> None:
    symbol, reason = entry.fields["symbol"], entry.fields["reason"] or "disarmed"
    if state.grant is not None and state.grant["purpose"] == "drill":
        _over(state, reason)  # a drill has one symbol and nothing to reduce
    if symbol:
        state.symbols_out.add(symbol)
        if entry.fields["mandate_ends"]:
            state.symbols_over.add(symbol)
        return
    state.ended = state.ended or reason
    if entry.fields["mandate_ends"]:
        _over(state, reason)


def _over(state: State, reason: str) -> None:
    state.ended = state.ended or reason
    state.mandate_over = state.mandate_over or reason


def _kill(state: State, entry: Entry) -> None:
    state.killing_lsn = state.killing_lsn or entry.lsn
    state.latches.setdefault(("kill", "all", ""), Latch("halt", state.life))
    state.base = "halt"
    state.owed.clear()
    _over(state, "kill")
    if entry.kind == "kill" and not state.kill_lsn:
        state.kill_lsn = entry.lsn
        state.kills.append((entry.boot_ns + state.wall_offset_ns, 0))


def _latch(state: State, entry: Entry) -> None:
    key = (entry.fields["name"], entry.fields["scope"], entry.fields["subject"])
    level = entry.fields["level"]
    standing = state.latches.get(key)
    if standing is None or RANK[level] < RANK[standing.level]:
        state.latches[key] = Latch(level, state.life)
    if entry.fields["scope"] in ("all", "account"):
        if level == "halt":
            state.owed.clear()
        elif level == "cancel_only":
            state.owed.pop("S14", None)


def _unlatch(state: State, entry: Entry) -> None:
    state.latches.pop((entry.fields["name"], entry.fields["scope"], entry.fields["subject"]), None)
    state.nonces.add(entry.fields["nonce"])


def _trip(state: State, entry: Entry) -> None:
    key = (entry.fields["name"], entry.fields["scope"], entry.fields["subject"])
    state.trips[key] = min(state.trips.get(key, "run"), entry.fields["level"], key=RANK.__getitem__)


def _untrip(state: State, entry: Entry) -> None:
    state.trips.pop((entry.fields["name"], entry.fields["scope"], entry.fields["subject"]), None)


def _level(state: State, entry: Entry) -> None:
    state.base = entry.fields["level"]
    if entry.fields["nonce"]:
        state.nonces.add(entry.fields["nonce"])


def _intent(state: State, entry: Entry) -> None:
    if entry.key in state.requests:
        return
    request = Request(entry, state.life)
    state.requests[entry.key] = state.open_intents[entry.key] = request
    client_id, revision = entry.key
    state.revisions[client_id] = max(revision, state.revisions.get(client_id, 0))
    if client_id not in state.orders:
        about = entry.fields
        market = (about["venue"], about["account"], about["symbol"])
        state.id_incarnation = state.id_incarnation or client_id[-INCARNATION_WIDTH:]
        state.orders[client_id] = Order(market, about["group"], about["side"], 0)


def _group(state: State, entry: Entry) -> None:
    """A group begins, or begins anew: with what is alive of it besides the orders that the record names."""
    name = entry.fields["group"]
    state.pairs.pop(name, None)
    if len(entry.fields["legs"]) == 2:
        alive = {client_id for client_id in state.live if state.orders[client_id].group == name}
        state.pairs[name] = Pair(entry, alive | set(entry.fields["client_ids"]))


def _permit(state: State, entry: Entry) -> None:
    request = state.requests.get(entry.key)
    if request is None:
        return
    request.answers += 1
    state.open_intents.pop(entry.key, None)
    if request.permit is not None:
        return
    request.permit, request.permit_life = entry, state.life
    if entry.fields["grant_id"] in state.drills:
        state.drill_permits.setdefault(entry.fields["grant_id"], entry.key)
    order, lots = state.orders[entry.key[0]], request.intent.fields["lots"]
    order.lots = max(order.lots, lots)
    order.least_lots = min(order.least_lots, lots) if entry.key[1] else lots
    if order.group in state.pairs:
        state.pairs[order.group].client_ids.add(entry.key[0])
    if lots:
        order.unit_usd = Decimal(entry.fields["notional_usd"]) / lots
        state.lowest_unit_usd[order.market] = min(order.unit_usd, state.lowest_unit_usd.get(order.market, order.unit_usd))
    state.live.add(entry.key[0])


def _deny(state: State, entry: Entry) -> None:
    """A no to the request that it names; what it counts beyond that may be requests of its kind that are told nowhere else.

    One that names none counts proposals that left no intent, and answers no other.
    """
    about = entry.fields
    request = state.requests.get(entry.key)
    if request is None:
        return
    request.answers += 1
    request.denied = True
    state.open_intents.pop(entry.key, None)
    state.counted_denials[about["strategy"]] = state.counted_denials.get(about["strategy"], 0) + max(0, about["count"] - 1)


def _wire(state: State, entry: Entry) -> None:
    request = state.requests.get(entry.key)
    if request is not None:
        request.wires += 1
        request.wire, request.wire_life = entry, state.life
        state.open_intents.pop(entry.key, None)
        order = state.orders[entry.key[0]]
        order.lots = max(order.lots, request.intent.fields["lots"])
        grant_id = "" if request.permit is None else request.permit.fields["grant_id"]
        if grant_id in state.drills:
            state.drill_wires.setdefault(grant_id, entry.key)


def _not_sent(state: State, entry: Entry) -> None:
    request = state.requests.get(entry.key)
    if request is not None:
        request.not_sent = True
        grant_id = "" if request.permit is None else request.permit.fields["grant_id"]
        if state.drill_wires.get(grant_id) == entry.key:
            del state.drill_wires[grant_id]
        if entry.key[1] == 0:
            state.end(entry.key[0], "not_sent")


def _sent(state: State, entry: Entry) -> None:
    request = state.requests.get(entry.key)
    if request is None:
        return
    request.sent = entry.fields
    state.sends += 1
    if entry.key[1] == 0:
        order = state.orders[entry.key[0]]
        order.signed_wall_ns, order.window_ns = entry.fields["sign_wall_ns"], entry.fields["receive_window_ns"]


def _unknown(state: State, entry: Entry) -> None:
    request, order = state.requests.get(entry.key), state.orders.get(entry.key[0])
    if request is not None and order is not None:
        request.unknown = True
        request.unknown_life = state.life
        order.unknown = order.unknown or not order.final


def _answer(state: State, entry: Entry) -> None:
    request, order = state.requests.get(entry.key), state.orders.get(entry.key[0])
    if request is None or order is None:
        return
    request.answered = entry.fields["state"]
    if request.answered == "rejected":
        if entry.key[1] == 0:
            state.end(entry.key[0], "rejected")
    else:
        order.shown = True
        order.unknown = order.unknown and request.answered != "open"


def _report(state: State, entry: Entry) -> None:
    client_id = entry.fields["client_id"]
    order = state.orders.get(client_id)
    if order is None:
        state.owe("S15", entry, f"a report of {client_id!r}, which is not in the journal")
        return
    order.shown, order.unknown = True, False
    order.reported = max(order.reported, entry.fields["filled_lots"])
    if entry.fields["state"] in FINAL:
        state.end(client_id, entry.fields["state"])


def _absent(state: State, entry: Entry) -> None:
    state.end(entry.fields["client_id"], "absent")


def _quarantine(state: State, entry: Entry) -> None:
    order = state.orders.get(entry.fields["client_id"])
    if order is not None:
        order.quarantined = order.unknown = True


def _release(state: State, entry: Entry) -> None:
    state.nonces.add(entry.fields["nonce"])
    state.end(entry.fields["client_id"], entry.fields["state"])


def _cancel(state: State, entry: Entry) -> None:
    order = state.orders.get(entry.fields["client_id"])
    if order is not None:
        order.cancel_wanted = True


def _cancel_sent(state: State, entry: Entry) -> None:
    client_id = entry.fields["client_id"]
    state.cancels_sent[client_id] = state.cancels_sent.get(client_id, 0) + 1


def _fill(state: State, entry: Entry) -> None:
    about = entry.fields
    market = (about["venue"], about["account"], about["symbol"])
    if (*market, about["trade_id"]) in state.fills:
        return
    client_id, signed = about["client_id"], about["side"] * about["lots"]
    state.fills[(*market, about["trade_id"])] = (client_id, signed, about["ticks"])
    state.positions[market] = state.positions.get(market, 0) + signed
    order = state.orders.get(client_id)
    if order is None:
        state.owe("S15", entry, f"an execution of {client_id!r}, which is not ours")
        return
    order.shown, order.unknown = True, False
    order.filled += about["lots"]
    if order.final not in ("", "filled") and order.filled > order.reported:
        state.owe("S10", entry, f"an execution of {client_id}, which had ended as {order.final}")
    if order.filled >= order.lots:
        state.end(client_id, "filled")


def _reversal(state: State, entry: Entry) -> None:
    about = entry.fields
    market = (about["venue"], about["account"], about["symbol"])
    client_id, signed, _ = state.fills.get((*market, about["trade_id"]), ("", 0, 0))
    state.reversals.add((*market, about["trade_id"]))
    state.positions[market] = state.positions.get(market, 0) - signed
    if client_id in state.orders:
        state.orders[client_id].filled -= abs(signed)
    state.owe("S10", entry, f"the venue took execution {about['trade_id']!r} back")


def _ledger(state: State, entry: Entry) -> None:
    about = entry.fields
    if about["kind"] == "foreign":
        _tolerated(state, entry)
    elif about["lots"]:
        market = (about["venue"], about["account"], about["symbol"])
        state.positions[market] = state.positions.get(market, 0) + about["lots"]
        down, up = state.moved.get(market, (0, 0))
        state.moved[market] = (down + min(0, about["lots"]), up + max(0, about["lots"]))
        if about["kind"] == "adjust" and about["actor"] and not about["venue_id"].startswith(OPENING):
            state.adjusted[(*market, about["lots"])] += 1
    if about["nonce"]:
        state.nonces.add(about["nonce"])


def _tolerated(state: State, entry: Entry) -> None:
    """What others do in an asset that is not ours is no more than told; but not where a grant was given to trade."""
    where = (entry.fields["venue"], entry.fields["symbol"])
    if where in state.traded:
        state.owe("S15", entry, f"activity of others on {where[0]} {where[1]}, which was granted for trading")


def _foreign(state: State, entry: Entry) -> None:
    if entry.fields["tolerated"]:
        _tolerated(state, entry)
        return
    state.owe("S15", entry, f"foreign activity of {entry.fields['client_id']!r} on {entry.fields['venue']} {entry.fields['symbol']}")
    _over(state, "foreign activity")


def _recon(state: State, entry: Entry) -> None:
    where = (entry.fields["venue"], entry.fields["account"])
    if entry.fields["explained"]:
        state.explained.add(where)
        if where in state.snapped:
            state.cuts[where[0]] = state.snapped[where]
        state.unexplained.discard(where)
        if not state.unexplained:
            state.owed.pop("S14", None)
        return
    state.explained.discard(where)
    state.unexplained.add(where)
    state.owe("S14", entry, f"{where[0]} {where[1]} was not explained")
    _over(state, "unexplained")


def _snap(state: State, entry: Entry) -> None:
    state.snapped[(entry.fields["venue"], entry.fields["account"])] = entry.fields["venue_ns"]


def _day(state: State, entry: Entry) -> None:
    state.days.setdefault(entry.fields["day"], entry.fields)
    state.newest_day = max(state.newest_day, entry.fields["day"])


def _unsent(state: State, entry: Entry) -> None:
    state.unsent.setdefault(entry.fields["client_id"], entry.lsn)
    state.unsent_permits = max(state.unsent_permits, entry.fields["permit_lsn"])


_HANDLERS: Mapping[str, Callable[[State, Entry], None]] = {
    "boot": _boot,
    "epoch": _epoch,
    "tighten": _tighten,
    "attest": _attest,
    "arm": _arm,
    "disarm": _disarm,
    "kill_req": _kill,
    "kill": _kill,
    "latch": _latch,
    "unlatch": _unlatch,
    "trip": _trip,
    "untrip": _untrip,
    "level": _level,
    "intent": _intent,
    "group": _group,
    "permit": _permit,
    "deny": _deny,
    "wire": _wire,
    "not_sent": _not_sent,
    "unsent": _unsent,
    "sent": _sent,
    "unknown": _unknown,
    "answer": _answer,
    "report": _report,
    "absent": _absent,
    "quarantine": _quarantine,
    "release": _release,
    "cancel": _cancel,
    "cancel_sent": _cancel_sent,
    "fill": _fill,
    "reversal": _reversal,
    "ledger": _ledger,
    "foreign": _foreign,
    "snap": _snap,
    "recon": _recon,
    "day": _day,
}
