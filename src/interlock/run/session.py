"""One replay from start to sealed evidence: run, account, vary, judge, write the folder."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import interlock
from interlock.domain.clock import Clock
from interlock.domain.instruments import Instrument
from interlock.evidence.build import build_evidence
from interlock.evidence.facts import Pair, Reporting, ReportingRate, RunFacts, StrategyKind, Variation
from interlock.evidence.folder import EvidenceFolder, run_id
from interlock.evidence.manifest import FeeStamp, LatencyStamp, Manifest, ModelStamps, TapeStamp, timestamp, write_manifest
from interlock.evidence.manifest import facts as manifest_lines
from interlock.evidence.manifest_sources import SystemSurroundings, code_stamp, machine_stamp
from interlock.evidence.present import report_data
from interlock.evidence.report import render_report
from interlock.evidence.result import Evidence
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.run.config import RateConfig, RunConfig, VenueConfig, load_config
from interlock.run.folder_names import LIMITS_FILE
from interlock.run.interrupt import StopWish
from interlock.run.replay import Plan, make_plan
from interlock.run.replay_gate import Limits
from interlock.simulate.layout import World
from interlock.simulate.outcome import Ending, Outcome
from interlock.strategies.tags import Leg, expected_edge_bps, reason_of

INTERRUPTED = 130
"""The process's answer after a stop from outside (128 + SIGINT)."""

EXIT_NAMES = {
    Leg.TAKE_PROFIT: "take_profit",
    Leg.STOP_LOSS: "stop_loss",
    Leg.TIME_LIMIT: "time_limit",
    Leg.REVERSAL: "spread_reversal",
    Leg.HEALTH: "health_exit",
}

Stage = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it is done, out of how much."""


class _Stopped(Exception):
    """A stop was wished for while other worlds were being replayed."""


@dataclass(frozen=True)
class Finished:
    """A sealed run: where its folder is, and what it says."""

    folder: Path
    evidence: Evidence
    ending: Ending
    interrupted: bool

    @property
    def report(self) -> Path:
        """The page for a person."""
        return self.folder / "report.html"

    @property
    def kpi(self) -> Mapping[str, Any]:
        """The figures for programs."""
        return self.evidence.kpi


@dataclass
class _Usage:
    """What the process used while the tape was replayed."""

    process: psutil.Process
    memory: list[int]

    @classmethod
    def start(cls) -> _Usage:
        process = psutil.Process()
        process.cpu_percent()
        return cls(process, [process.memory_info().rss])

    def look(self) -> None:
        self.memory.append(self.process.memory_info().rss)

    @property
    def memory_mb(self) -> float:
        return float(np.mean(self.memory)) / 2**20


def replay_session(
    config_path: Path,
    tape_path: Path,
    out: Path,
    *,
    clock: Clock,
    stop: StopWish,
    stage: Stage,
    session_id: str | None = None,
    full: bool = False,
    config: RunConfig | None = None,
    limits: Limits | None = None,
) -> Finished:
    """Replay a tape under a configuration and write the evidence folder into `out`. `config`: what the file came to with its layers. `limits`: those
    that the gate decides by; without them there is no gate.

    A stop that is wished for on the way ends the replay where it stands; what was done so far is sealed as an interrupted run. Raises
    BadInput and UsageError before anything is written.
    """
    config = config or load_config(config_path)
    with Tape.open(tape_path) as tape:
        plan = make_plan(config, config_path, tape, limits)
        digest = config.digest
        started_ns = clock.now_ns()
        usage = _Usage.start()

        def go_on(done: int, total: int) -> bool:
            usage.look()
            stage(f"replaying {config.name}", done, total)
            return not stop.wanted

        outcome = plan.run(full=full, progress=go_on)
        cpu_percent = usage.process.cpu_percent()
        usage.look()
        worlds = 0
        used: list[World] = []

        def rerun(variation: Variation) -> Outcome:
            nonlocal worlds
            worlds += 1
            stage(f"replaying {config.name} in world {worlds}: {variation.name}", 0, 0)
            result = plan.run(
                variation.apply(plan.settings), fx_shift=variation.fx_shift, progress=lambda _done, _total: not stop.wanted, recycle=used
            )
            if stop.wanted:
                raise _Stopped
            return result

        name = run_id(started_ns, config.name, digest)
        facts = _facts(plan, outcome, name, session_id or name, digest, started_ns, clock, cpu_percent, usage.memory_mb)
        evidence: Evidence | None = None
        if outcome.ending is not Ending.INTERRUPTED:
            with contextlib.suppress(_Stopped):
                evidence = build_evidence(_with(facts, rerun=rerun))
        if evidence is None:
            # Stopped, be it while the tape or while another world was replayed: the figures say what the process will answer.
            evidence = build_evidence(_with(facts, exit_code=INTERRUPTED))
        stage(f"writing the evidence of {config.name}", 0, 0)
        out.mkdir(parents=True, exist_ok=True)
        folder = _seal(plan, facts, evidence, out, name)
    return Finished(folder, evidence, outcome.ending, stop.wanted)


def _with(facts: RunFacts, **changes: Any) -> RunFacts:

    return dataclasses.replace(facts, **changes)


def _facts(
    plan: Plan,
    outcome: Outcome,
    name: str,
    session_id: str,
    digest: str,
    started_ns: int,
    clock: Clock,
    cpu_percent: float,
    memory_mb: float,
) -> RunFacts:
    config, info = plan.config, plan.tape.info
    arbitrage = config.arbitrage is not None
    flow = ", ".join(sorted({i.venue for i in plan.instruments}))
    implied = arbitrage and config.arbitrage is not None and config.arbitrage.fx_instrument is None
    return RunFacts(
        run_id=name,
        session_id=session_id,
        environment=config.environment,
        universe_mode=config.universe_mode,
        strategy=config.name,
        kind=StrategyKind.ARBITRAGE if arbitrage else StrategyKind.MAKING,
        instruments=plan.instruments,
        settings=plan.settings,
        outcome=outcome,
        rows=plan.tape.rows,
        exchange_order=plan.tape.exchange_order,
        provenance=info.provenance,
        config_digest=digest,
        wall_start_ns=started_ns,
        wall_end_ns=clock.now_ns(),
        cpu_percent=cpu_percent,
        memory_mb=memory_mb,
        pairs=tuple(Pair(spot, perp) for spot, perp in plan.pairs),
        reporting=_reporting(config, plan, outcome),
        flow_venue=flow,
        fee_venue=config.fee_venue or flow,
        latency_source="configured",
        feed_latency=info.clock.feed_latency,
        depth_interval_ms=_depth_interval_ms(plan.tape),
        bars=info.bars,
        inferred_instruments=any(i.inferred for i in plan.instruments),
        rate_limits_on=all(v.rate_limits != "off" for v in config.venues.values()),
        exit_reasons=_exits(outcome) if arbitrage else {},
        fx_source="none" if not arbitrage else ("implied" if implied else "book"),
        fx_age_s=_fx_age_s(outcome) if arbitrage else None,
        base_maker_rate={i.key: SHIPPED[i.key].fees.maker for i in plan.instruments if i.key in SHIPPED},
        expected_edge_bps=_expected(outcome) if arbitrage else None,
    )


def _depth_interval_ms(tape: Tape) -> float | None:
    known = [max(d.declared_ms or 0.0, d.measured_ms or 0.0) for d in tape.info.depth_interval_ms.values()]
    return max(known) if known else None


def _exits(outcome: Outcome) -> dict[str, int]:
    """Closed positions by the reason that closed them: one for each pair and decision that filled."""
    counts = dict.fromkeys(EXIT_NAMES.values(), 0)
    filled = outcome.orders[outcome.orders["filled_lots"] > 0]
    for tag, _decided in {(int(tag) & 0xFFFF, int(ns)) for tag, ns in zip(filled["tag"], filled["decided_ns"], strict=True)}:
        leg = reason_of(tag)
        if leg in EXIT_NAMES:
            counts[EXIT_NAMES[leg]] += 1
    return counts


def _expected(outcome: Outcome) -> dict[int, Decimal]:
    """The edge that each entry order expected, basis points of notional, by order number."""
    return {
        int(seq): Decimal(str(expected_edge_bps(int(tag))))
        for seq, tag in zip(outcome.orders["seq"], outcome.orders["tag"], strict=True)
        if reason_of(int(tag)) is Leg.ENTRY
    }


def _fx_age_s(outcome: Outcome) -> float | None:
    if not len(outcome.samples):
        return None
    return (outcome.end_ns - int(outcome.samples["exchange_ns"][-1])) / 1e9


def _reporting(config: RunConfig, plan: Plan, outcome: Outcome) -> Reporting:
    usd = config.reporting.usd_per_usdt
    krw = config.reporting.krw_per_usdt
    if krw == "implied":
        return Reporting(_rate(usd), _implied(plan, outcome, last=True), _implied(plan, outcome, last=False))
    return Reporting(_rate(usd), _rate(krw) if isinstance(krw, RateConfig) else None)


def _rate(given: RateConfig | None) -> ReportingRate | None:
    if given is None:
        return None
    return ReportingRate(given.value, given.source, int(given.as_of.timestamp()) * 1_000_000_000)


def _implied(plan: Plan, outcome: Outcome, *, last: bool) -> ReportingRate | None:
    """KRW per USDT as the median of what the pairs imply at the first or last sample; None without prices."""
    rates: list[Decimal] = []
    at_ns = 0
    for spot, perp in plan.pairs:
        prices: list[Decimal] = []
        for leg in (spot, perp):
            seen = outcome.samples[(outcome.samples["instrument"] == leg) & (outcome.samples["mid_twice"] > 0)]
            if not len(seen):
                break
            sample = seen[-1 if last else 0]
            at_ns = max(at_ns, int(sample["exchange_ns"]))
            prices.append(_price_of_base(plan.instruments[leg], int(sample["mid_twice"])))
        if len(prices) == 2:
            rates.append(prices[0] / prices[1])
    if not rates:
        return None
    return ReportingRate(sorted(rates)[len(rates) // 2], f"implied by {len(rates)} coins, premium included", at_ns)


def _price_of_base(instrument: Instrument, mid_twice: int) -> Decimal:
    return instrument.price(mid_twice) / 2 / instrument.multiplier


def _seal(plan: Plan, facts: RunFacts, evidence: Evidence, out: Path, name: str) -> Path:
    outcome = facts.outcome
    keys = tuple(i.key for i in plan.instruments)
    with EvidenceFolder(out, name) as folder:
        facts = _with(facts, run_id=folder.run_id)
        columns = {"run_id": folder.run_id}
        folder.write_parquet("fills.parquet", outcome.fills, columns, names={"instrument": keys})
        folder.write_parquet("orders.parquet", outcome.orders, columns, names={"instrument": keys})
        folder.write_json("kpi.json", {**evidence.kpi, "run_id": folder.run_id})
        folder.write_json("config.json", plan.config.canonical())
        if plan.gate is not None:
            folder.write_text(LIMITS_FILE, plan.gate.limits.text)
        manifest = _manifest(plan, facts, folder)
        folder.write_text("report.html", render_report(report_data(facts, evidence, manifest_lines(manifest))))
        write_manifest(folder, _manifest(plan, facts, folder))
    return folder.path


def _manifest(plan: Plan, facts: RunFacts, folder: EvidenceFolder) -> Manifest:
    package = Path(interlock.__file__).parent
    surroundings = SystemSurroundings()
    outcome, info = facts.outcome, plan.tape.info
    return Manifest(
        run_id=folder.run_id,
        mode="replay",
        endpoints=None,
        strategy=facts.strategy,
        config_digest=facts.config_digest,
        code=code_stamp(package, surroundings),
        machine=machine_stamp(package, surroundings),
        tapes=(TapeStamp(name=plan.tape.path.name, sha256=plan.tape.digest, provenance=info.provenance),),
        seed=plan.config.seed,
        model=_stamps(plan, facts),
        start_ns=outcome.start_ns,
        end_ns=outcome.end_ns,
        start_timestamp=timestamp(outcome.start_ns),
        end_timestamp=timestamp(outcome.end_ns),
        files=folder.files,
    )


def _stamps(plan: Plan, facts: RunFacts) -> ModelStamps:
    config, info = plan.config, plan.tape.info
    model = config.model
    queue = f"power {model.queue_power}" if model.queue == "power" else model.queue
    return ModelStamps(
        queue_model="none, bars" if info.bars else queue,
        partial_fills=model.partial_fills,
        latency={name: _latency(venue, facts.feed_latency) for name, venue in config.venues.items()},
        feed_latency=facts.feed_latency,
        depth_interval_ms={key: max(d.declared_ms or 0.0, d.measured_ms or 0.0) for key, d in info.depth_interval_ms.items()},
        rate_limits="on" if facts.rate_limits_on else "off",
        fees={
            i.key: FeeStamp(
                profile=i.fees.profile,
                maker=str(i.fees.maker),
                taker=str(i.fees.taker),
                source=i.fees.source,
                as_of=i.fees.as_of.isoformat(),
                condition=i.fees.condition,
                assumed=i.fees.condition != "none",
            )
            for i in plan.instruments
        },
        funding="settlements of the tape" if info.kinds.get("FUNDING", 0) else "none",
        fx_source=facts.fx_source,
        instrument="inferred" if facts.inferred_instruments else "known",
        flow_venue=facts.flow_venue,
        fee_venue=facts.fee_venue,
        latency_source=facts.latency_source,
        provenance=facts.provenance,
        gate="none" if plan.gate is None else f"limits {plan.gate.limits.digest}",
    )


def _latency(venue: VenueConfig, feed: str) -> LatencyStamp:
    def words(constant_ms: float) -> str:
        if venue.latency == "constant":
            return f"constant {constant_ms:g} ms"
        if venue.latency == "feed":
            return f"{venue.feed_multiple:g} x feed latency + {constant_ms:g} ms"
        return f"block bootstrap of feed latencies + {constant_ms:g} ms"

    return LatencyStamp(
        order=words(venue.order_latency_ms),
        cancel=words(venue.cancel_latency_ms),
        response=words(venue.response_latency_ms),
        feed=f"{feed}, from the tape",
    )
