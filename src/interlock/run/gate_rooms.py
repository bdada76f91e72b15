"""The rooms of one life, put together: first what they all share, then each with what it works on. No rule is here, and nothing runs yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.gate import pairs
from interlock.gate import records as r
from interlock.gate.absence import rule_for
from interlock.gate.account_lock import Lease
from interlock.gate.arm_desk import ArmDesk
from interlock.gate.attendant import Attendant
from interlock.gate.commands import Commands
from interlock.gate.condition_watch import ConditionWatch, cancels_called_for, may_rest
from interlock.gate.connection_guard import ConnectionGuard
from interlock.gate.dead_man import DeadMan
from interlock.gate.desk import Desk
from interlock.gate.egress import Egress, Way
from interlock.gate.exposure import Place, universe_of
from interlock.gate.fee_watch import FeeWatch
from interlock.gate.following import Following
from interlock.gate.foreign import Unmanaged
from interlock.gate.keeper import Keeper
from interlock.gate.market_watch import MarketWatch, hashes_of, listing_facts, listing_worth
from interlock.gate.money_watch import MoneyWatch
from interlock.gate.parts import Guard, Life, Parts, Word
from interlock.gate.proposals import Proposals
from interlock.gate.readings import Readings, Setup
from interlock.gate.reconcile import Managed
from interlock.gate.references import nothing_seen
from interlock.gate.refusal import Refusal
from interlock.gate.venue_reads import Listing
from interlock.run.gate_arming import ArmingView
from interlock.run.gate_config import GateConfig
from interlock.run.gate_kits import VenueKit
from interlock.run.gate_meeting import Met
from interlock.run.gate_ports import Ports
from interlock.run.gate_sentinel import SentinelLine
from interlock.run.gate_venue import VenueDesk
from interlock.run.gate_watch import GateWatch
from interlock.venues.budget import Spend

SENTINEL_SILENT_NS = NS_PER_S
BEAT_GOOD_FOR_NS = 20 * NS_PER_S
"""How long one beat of a venue's dead-man counts."""

_NO_BINDING = r.Binding(
    incarnation="", host="", account="", endpoint=r.Endpoint.LOOPBACK, build="", config="", strategy="", limits="", symbols=()
)
_ROUNDING = {"USDT": Decimal("0.000001")}
"""By how much a venue's own rounding of realised profit may move a balance."""


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """What has duties or is asked. `desks` are by venue; `desk` answers whoever speaks to the gate."""

    desks: Mapping[str, VenueDesk]
    watch: GateWatch
    dead_man: DeadMan
    guards: Mapping[str, ConnectionGuard]
    arming: ArmingView
    attendant: Attendant
    desk: Desk
    proposals: Proposals
    following: Following


def share(
    config: GateConfig,
    ports: Ports,
    *,
    life: Life,
    listings: Mapping[Place, Listing],
    leases: Mapping[str, Lease],
    keeper: Keeper,
    word: Word,
    sentinel: SentinelLine,
    kits: Mapping[str, VenueKit],
    read_only: Refusal | None,
) -> Parts:
    """What all rooms share: one state and journal, one way out for each venue. Nothing is bound to what was not listed."""
    setup = Setup(
        accounts={part.venue: part.account for part in config.venues},
        wires={venue: kit.wire for venue, kit in kits.items()},
        absence={part.venue: rule_for(part.venue, part.visibility_lag_ns, part.receive_window_ns) for part in config.venues},
        tags=config.tags,
    )
    universe = universe_of(listing_facts(venue, listing) for (venue, _), listing in listings.items())
    guard = Guard(word, leases)
    readings = Readings(references=nothing_seen(universe), binding=_NO_BINDING)
    readings.read_only = read_only is not None
    readings.budgets = {venue: partial(_placement_waits_ns, kit) for venue, kit in kits.items()}
    parts = Parts(
        life=life,
        setup=setup,
        keeper=keeper,
        readings=readings,
        egresses={
            part.venue: Egress(
                part.venue,
                kits[part.venue].wire,
                setup,
                keeper,
                readings,
                guard,
                partial(ports.connect, kits[part.venue].entry_at),
                ports.now,
                answer_ns=part.answer_ns,
                meter=kits[part.venue].meter,
                spare=_spare_way(kits[part.venue], ports),
            )
            for part in config.venues
        },
        word=word,
        guard=guard,
        clock=ports.now,
        log=ports.log,
        tell_sentinel=sentinel.tell,
        min_lots={place: listing.min_lots for place, listing in listings.items()},
    )
    readings.binding = parts.binding(hashes_of(listings))
    return parts


def compose(
    config: GateConfig,
    ports: Ports,
    parts: Parts,
    *,
    met: Met,
    kits: Mapping[str, VenueKit],
    read_only: Refusal | None,
) -> Rooms:
    """All rooms over what they share."""
    readings, limits, listings = parts.readings, parts.keeper.state, met.listings
    worths = {place: listing_worth(listing) for place, listing in listings.items()}
    market = MarketWatch(
        readings,
        limits,
        listings,
        clock=ports.now,
        take=parts.take,
        rounds_every_ns={venue: kit.paces.market_ns for venue, kit in kits.items()},
        prices={venue: kit.prices for venue, kit in kits.items() if kit.prices is not None},
    )
    money = MoneyWatch(readings, limits, worths, clock=ports.now, every_ns={venue: kit.paces.equity_ns for venue, kit in kits.items()})
    conditions = ConditionWatch(
        readings,
        parts.setup.accounts,
        tuple(listings),
        {part.venue: part.receive_window_ns for part in config.venues},
        ports.clocks(),
        sentinel_silent_ns=SENTINEL_SILENT_NS,
    )
    fees = FeeWatch(worths, [venue for venue, kit in kits.items() if kit.fees is not None], ports.now)
    managed = Managed(tags=tuple(config.tags.values()), worths=worths, rounding=_ROUNDING)
    desks = {
        part.venue: VenueDesk(
            part,
            parts,
            kits[part.venue],
            market=market,
            money=money,
            conditions=conditions,
            fees=fees,
            managed=_managed(managed, part.venue, met.unmanaged[part.venue]),
            unmanaged=met.unmanaged[part.venue],
            listings=listings,
            nonce=ports.nonce,
        )
        for part in config.venues
    }
    watch = GateWatch(parts, desks, market, conditions, fees, clocks=ports.clocks, checker_fd=config.checker_fd)
    arming = ArmingView(config, parts, desks, market=market, money=money, conditions=conditions, fees=fees, read_only=read_only)
    attended = [(part.venue, symbol) for part in config.venues if part.dead_man for symbol in part.symbols]
    dead_man = DeadMan(attended, readings, ports.ask_sentinel, ports.now, good_for_ns=BEAT_GOOD_FOR_NS)
    guards = {
        part.venue: ConnectionGuard(
            protection, [(part.venue, symbol) for symbol in part.symbols], readings, partial(_subscribed, kits[part.venue]), ports.now
        )
        for part in config.venues
        if (protection := kits[part.venue].protection) is not None
    }
    attendant = Attendant(parts, partial(called_for, parts), lambda: ports.clocks().mono_ns)
    proposals = Proposals(parts, dead_man.assure)
    commands = Commands(parts, proposals)
    keys = {part.venue: part.drilled_key for part in config.venues}
    arm_desk = ArmDesk(parts, proposals, arming.situation, str(config.sockets / "sentinel.sock"), parts.life.build, keys)
    following = Following(lambda: parts.keeper.state, lambda: parts.clock().boot_ns)

    def noted(record: r.Record) -> None:
        following.note(record)
        fees.note(record)

    parts.keeper.on_record = noted
    desk = Desk(parts, proposals, commands, following, arm_desk, arming.report, attendant.enforce)
    return Rooms(
        desks=desks,
        watch=watch,
        dead_man=dead_man,
        guards=guards,
        arming=arming,
        attendant=attendant,
        desk=desk,
        proposals=proposals,
        following=following,
    )


def _spare_way(kit: VenueKit, ports: Ports) -> Way | None:
    return None if kit.spare is None else Way(kit.spare, partial(ports.connect, kit.orders))


def _placement_waits_ns(kit: VenueKit, pending: int, boot_ns: int) -> int:
    return kit.meter.wait_ns(Spend.PLACE, kit.wire.placement_cost, boot_ns, pending)


def _managed(managed: Managed, venue: str, unmanaged: Unmanaged) -> Managed:
    """What of one venue's account is ours to explain."""
    theirs = {(venue, symbol): listing_worth(listing) for symbol, listing in unmanaged.listings.items()}
    return msgspec.structs.replace(managed, unmanaged=unmanaged.assets, foreign=theirs)


def _subscribed(kit: VenueKit) -> bool:
    return kit.stream.connected_since_boot_ns is not None


def called_for(parts: Parts) -> tuple[r.Record, ...]:
    """The cancels that the state calls for, and the time: nothing that raises risk outlasts its grant, or the entering of its pair."""
    state, now = parts.keeper.state, parts.clock()
    universe = parts.readings.references.universe
    found = cancels_called_for(state, now, universe=universe, leave=lambda symbol: may_rest(state, symbol, now.boot_ns))
    wanted = {one.client_id for one in found}
    return (*found, *(one for one in pairs.overdue(state, now.boot_ns) if one.client_id not in wanted))
