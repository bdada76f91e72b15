"""What arming looks at: everything that could forbid it, asked afresh for a ceremony, and as far as it is known for the status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from interlock.gate.attested import leanings
from interlock.gate.ceremony import Situation
from interlock.gate.checks import Check
from interlock.gate.clock_watch import skew_denial
from interlock.gate.condition_watch import ConditionWatch
from interlock.gate.drill import DrillNeed, drill_check, undrilled
from interlock.gate.fee_watch import FeeWatch
from interlock.gate.lattice import Kill
from interlock.gate.market_watch import MarketWatch
from interlock.gate.money_watch import MoneyWatch
from interlock.gate.own_checks import VenueFinding, own_checks
from interlock.gate.parts import Parts
from interlock.gate.refusal import Refusal
from interlock.gate.report import attestations, report
from interlock.gate.venue_reads import ReadFailed
from interlock.run.endpoint_rules import without_evidence
from interlock.run.gate_config import GateConfig
from interlock.run.gate_venue import SKEW_GOOD_FOR_NS, VenueDesk


class ArmingView:
    """Reads, and changes nothing. `read_only` is why orders are forbidden in this process, None where they are not."""

    def __init__(
        self,
        config: GateConfig,
        parts: Parts,
        desks: Mapping[str, VenueDesk],
        *,
        market: MarketWatch,
        money: MoneyWatch,
        conditions: ConditionWatch,
        fees: FeeWatch,
        read_only: Refusal | None,
    ) -> None:
        self._config = config
        self._parts = parts
        self._desks = desks
        self._market = market
        self._money = money
        self._conditions = conditions
        self._fees = fees
        self._read_only = read_only

    async def situation(self) -> Situation:
        """Everything that could forbid arming, read afresh."""
        findings = dict(await asyncio.gather(*(self._finding(desk) for desk in self._desks.values())))
        parts = self._parts
        checks = own_checks(parts, findings, disk_problem=self._conditions.disk_problem, drill=self._drill_check())
        state, now = parts.keeper.state, parts.look()
        keys = {venue: one.key for venue, one in findings.items() if one.key is not None}
        return Situation(
            binding=parts.readings.binding,
            endpoints=self._config.endpoints,
            checks=checks,
            evidence=None,
            minimums=self._market.minimums(now.boot_ns),
            read_only=parts.readings.read_only,
            read_only_said=self._read_only,
            killed=state.lattice.kill is not Kill.NONE,
            lease_held=parts.guard.lease_held(),
            state_version=state.lattice.version,
            used_nonces=state.lattice.nonces | state.arming.used,
            boot_ns=now.boot_ns,
            wall_ns=now.wall_ns,
            keys=keys,
            leanings=leanings(state.attestations, parts.setup.accounts, keys, now.wall_ns),
        )

    async def _finding(self, desk: VenueDesk) -> tuple[str, VenueFinding]:
        part = desk.part
        try:
            key, sample = await asyncio.gather(desk.reads.key(), desk.reads.clock())
        except ReadFailed as error:
            return part.venue, VenueFinding(key=None, skew=None, problem=error.reason)
        now_ns = self._parts.clock().boot_ns
        skew = skew_denial(sample, receive_window_ns=part.receive_window_ns, now_boot_ns=now_ns, max_age_ns=SKEW_GOOD_FOR_NS)
        return part.venue, VenueFinding(key=key, skew=skew)

    # The kill drill

    def _drill_check(self) -> Check:
        now = self._parts.clock()
        return drill_check(self._parts.keeper.state.drills, self._needs(), wall_ns=now.wall_ns, boot_ns=now.boot_ns)

    def _undrilled(self) -> dict[str, str]:
        return undrilled(self._parts.keeper.state.drills, self._needs(), self._parts.clock().wall_ns)

    def _needs(self) -> tuple[DrillNeed, ...]:
        """What is to be proven is of this account's key and this build, wherever the orders go."""
        build = self._parts.life.build
        return tuple(
            DrillNeed(venue=part.venue, endpoint=part.endpoint, key=part.drilled_key, sentinel_build=build) for part in self._config.venues
        )

    # The status

    def report(self) -> dict[str, Any]:
        """How the gate stands, for people and pages."""
        due = self._undrilled()
        symbols = tuple(f"{part.venue}/{part.symbols[0]}" for part in self._config.venues if part.venue in due)
        fingerprints = {venue: desk.reads.fingerprint for venue, desk in self._desks.items()}
        unmarked = tuple(f"{what}: {', '.join(names)}" for what, names in sorted(self._money.missing.items()))
        return {
            **report(self._parts, self.why_not(), symbols, unmarked),
            "order_lines": self._order_lines(),
            "venue_limits": self._venue_limits(),
            "fees": self._fees.told(),
            "attestations": attestations(self._parts, fingerprints),
        }

    def _order_lines(self) -> list[dict[str, Any]]:
        """By which way orders go to each venue, and which of its lines stand."""
        return [
            {"venue": venue, "entry": "own" if desk.part.places is None else desk.part.entry.value, **self._parts.egresses[venue].standing}
            for venue, desk in sorted(self._desks.items())
        ]

    def _venue_limits(self) -> list[dict[str, Any]]:
        """What is known to be used of each limit that a venue declared, by all together."""
        now_ns = self._parts.clock().boot_ns
        return [
            {"venue": venue, "limit": name, "used": used, "of": units}
            for venue, desk in sorted(self._desks.items())
            for name, (used, units) in desk.kit.meter.standing(now_ns).items()
        ]

    def why_not(self) -> tuple[Refusal, ...]:
        """What stands against arming, as far as it is known without asking the venue anew."""
        parts = self._parts
        state, readings = parts.keeper.state, parts.readings
        found = []
        if state.lattice.kill is not Kill.NONE:
            found.append(Refusal("killed", "KILL in this process life; start the gate anew"))
        if not parts.guard.lease_held():
            found.append(Refusal("lease", "the account's lock is lost; end this gate, see who else is at the account, start anew"))
        if readings.read_only is not False:
            found.append(self._read_only or Refusal("read_only", "orders are forbidden"))
        for part in self._config.venues:
            if (part.venue, part.account) not in state.lattice.reconciled:
                found.append(Refusal("not_reconciled", f"{part.venue}/{part.account} is not explained in this process life"))
        for name, problem in sorted(self._market.problems(parts.clock().boot_ns).items()):
            if problem:
                found.append(Refusal("market", f"{name}: {problem}"))
        if readings.sentinel_alive is not True:
            found.append(Refusal("sentinel", "the sentinel has not been seen to look"))
        if readings.checker_alive is not True:
            found.append(Refusal("checker", "the checker has not been heard, or told of a violation"))
        found += without_evidence(self._config.endpoints)
        found += [Refusal("undrilled", f"no kill drill passed lately: {what}") for what in self._undrilled().values()]
        return tuple(found)
