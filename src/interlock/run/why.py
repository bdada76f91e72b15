"""`interlock why`: one order or denial of a run from the frame that led to it to its end.

What the engine saw and decided comes from its log of inputs, decided again (`engine.moment`); everything from the intent on from the journal. What
neither holds is null, with the reason beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.engine.edge import EdgeCollapse
from interlock.engine.engine import PROPOSED_TIFS, TAKEN_BACK
from interlock.engine.inputs import Input, InputsRead, Kind, begun
from interlock.engine.moment import Moment, log_of, moment_of
from interlock.engine.side import Action, Place
from interlock.gate import records as r
from interlock.gate.limit_sheet import load as load_sheet
from interlock.gate.told_limits import JudgedLimit, of_denial, of_permit
from interlock.run.config import RunConfig, load_config
from interlock.run.folder_names import CONFIG_FILE, ENGINE_FOLDER, INPUTS, LIMITS_FILE, gate_folder_of
from interlock.run.live_plan import LivePlan, file_digest, live_plan
from interlock.run.why_journal import JournalRead, Stood, Subject, plain
from interlock.strategies.making_told import quote_parts
from interlock.strategies.tags import expected_edge_bps, reason_of

LONGEST_FRAME: Final = 2_000
"""How many characters of a frame are told."""
BPS: Final = 10_000

_WIRE = (r.WireBegin, r.Sent, r.NotSent, r.SendUnknown)
_VENUE = (r.Answered, r.Reported, r.Absent, r.Quarantined, r.Released)
_FILLS = (r.Filled, r.FillReversed)
_CANCELS = (r.CancelWanted, r.CancelSent, r.CancelAnswered)


def why(folder: Path, client_id: str | None, sequence: int | None) -> dict[str, Any]:
    """The chain of one order or denial, by client id or by the engine's number. Times in nanoseconds, prices in ticks, sizes in lots; `_price` is a
    decimal.

    Raises BadInput for a folder that holds no run, Refused for an id or number that nobody knows, DamagedState for damaged files.
    """
    config_path, limits_path, journal = folder / CONFIG_FILE, folder / LIMITS_FILE, gate_folder_of(folder) / "journal"
    for needed in (config_path, limits_path, journal):
        if not needed.exists():
            raise BadInput(folder, "", f"expected the folder of a run with {needed.name}, found none; give that of `interlock run`")
    logs = begun(folder / ENGINE_FOLDER, INPUTS)
    instruments = InputsRead(logs[-1]).header.instruments if logs else ()
    read = JournalRead(journal, load_sheet(limits_path), instruments)
    if client_id is not None:
        subject = read.of_id(client_id)
        assert subject.intent is not None
        number = subject.intent.sequence
    else:
        assert sequence is not None
        subject, number = read.of_sequence(sequence), sequence
    config = load_config(config_path)
    moment, missing, plan = _moment(folder, config, config_path, subject, number)
    if not subject.found:
        if moment is None:
            raise read.unknown(number)
        subject.strategy = moment.header.strategy
        if moment.answered is not None:
            read.around(subject, moment.answered.now_ns - moment.header.boot_offset_ns)
    known = {one.key: one for one in instruments}
    return _chain(subject, number, moment, missing, plan, config, known)


def _moment(
    folder: Path, config: RunConfig, config_path: Path, subject: Subject, sequence: int
) -> tuple[Moment | None, str, LivePlan | None]:
    """The engine's decision, or why there is none."""
    if subject.drill:
        return None, "it is the gate's own order for a kill drill: no engine decided it", None
    log = log_of(folder / ENGINE_FOLDER, INPUTS, subject.strategy, sequence)
    if log is None:
        return None, f"no log of inputs in {ENGINE_FOLDER}/ is of the engine that proposed it", None
    header = InputsRead(log).header
    if header.config not in (config.digest, file_digest(config_path)):
        raise BadInput(config_path, "", f"expected the configuration that {log.name} was made with, found another one")
    plan = live_plan(config, config_path, header.instruments)
    found = moment_of(log, plan.settings, plan.strategy, sequence, edge=plan.edge)
    if found is None:
        return None, f"{log.name} holds no decision of that number; one that was cut off lacks its last half-second", plan
    return found, "", plan


def _chain(
    subject: Subject,
    sequence: int,
    moment: Moment | None,
    missing: str,
    plan: LivePlan | None,
    config: RunConfig,
    known: dict[str, Instrument],
) -> dict[str, Any]:
    order = _order(subject, moment, plan)
    instrument = None if order is None else known.get(f"{order['venue']}:{order['symbol']}")
    if order is not None and instrument is not None:
        order["price"], order["size"] = str(instrument.price(order["ticks"])), str(instrument.quantity(order["lots"]))
    return {
        "result": _result(subject, moment),
        "client_id": subject.client_id or None,
        "sequence": sequence,
        "strategy": subject.strategy,
        "order": order,
        "engine_missing": missing or None,
        "frame": None if moment is None else _frame(moment),
        "book": None if moment is None or plan is None else _book(moment, plan),
        "decision": None if moment is None or plan is None else _decision(moment, plan, config),
        "intent": None if subject.intent is None else plain(subject.intent),
        "gate": None if subject.stood is None else _gate(subject.stood),
        "limits": [_limit(one) for one in _limits(subject)],
        "permit": None if subject.permit is None else _permit(subject.permit),
        "denial": _denial(subject, moment),
        "wire": _told(subject, _WIRE),
        "venue": _told(subject, _VENUE),
        "fills": _told(subject, _FILLS),
        "cancel": _told(subject, _CANCELS),
        "end": None if subject.end is None or subject.permit is None else msgspec.to_builtins(subject.end),
    }


def _result(subject: Subject, moment: Moment | None) -> str:
    if subject.permit is not None:
        return "PERMIT"
    if subject.deny is not None or (moment is not None and moment.answered is not None and not moment.client_id):
        return "DENY"
    return "UNKNOWN"


def _order(subject: Subject, moment: Moment | None, plan: LivePlan | None) -> dict[str, Any] | None:
    """What was to be ordered: as the journal has it, else as the engine decided it."""
    if subject.intent is not None:
        one = subject.intent
        return {
            "venue": one.venue,
            "symbol": one.symbol,
            "side": one.side.name.lower(),
            "type": one.type.value,
            "tif": one.tif.value,
            "ticks": one.ticks,
            "lots": one.lots,
            "reduce_only": one.reduce_only,
        }
    if moment is None or plan is None:
        return None
    instrument = plan.instruments[moment.place.instrument]
    return {"venue": instrument.venue, "symbol": instrument.symbol, "type": "limit", **_placed(moment.place)}


def _placed(place: Place) -> dict[str, Any]:
    return {
        "side": "buy" if place.side > 0 else "sell",
        "tif": PROPOSED_TIFS[place.tif].value,
        "ticks": place.ticks,
        "lots": place.lots,
        "reduce_only": place.reduce_only,
    }


# What the engine saw


def _frame(moment: Moment) -> dict[str, Any]:
    """The input that the decision was made at, and the one that had changed the book last."""
    return {"decided_at": _input(moment, moment.number, moment.trigger), "book_changed_by": _book_input(moment)}


def _input(moment: Moment, number: int, one: Input) -> dict[str, Any]:
    said = moment.said if one is moment.trigger else None
    text = one.data.decode("utf-8", errors="replace") if one.kind in (Kind.FRAME, Kind.ANSWER) else None
    return {
        "input": number,
        "kind": one.kind.name.lower(),
        "now_ns": one.now_ns,
        "boot_ns": one.now_ns - moment.header.boot_offset_ns,
        "connection": one.number if one.kind in (Kind.FRAME, Kind.ANSWER, Kind.LOST) else None,
        "what": None if said is None else said.what,
        "venue_ns": None if said is None else said.venue_ns or None,
        "venue_sequence": None if said is None else said.last_update or None,
        "bytes": len(one.data),
        "text": None if text is None else text[:LONGEST_FRAME],
    }


def _book_input(moment: Moment) -> dict[str, Any] | None:
    last = moment.book_input
    if last is None:
        return None
    told = _input(moment, last.number, last.one)
    instrument = moment.header.instruments[moment.place.instrument]
    return {
        **told,
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "what": last.what,
        "venue_ns": last.venue_ns or None,
        "venue_sequence": last.update or None,
        "age_ns": moment.trigger.now_ns - last.one.now_ns,
        "venue_age_ns": moment.trigger.now_ns - last.venue_ns if last.venue_ns else None,
    }


def _book(moment: Moment, plan: LivePlan) -> dict[str, Any]:
    """The book as the kernel saw it."""
    k = moment.place.instrument
    book, instrument = moment.books[k], plan.instruments[k]
    bids, asks = ([{"ticks": ticks, "price": str(instrument.price(ticks)), "lots": lots} for ticks, lots in side] for side in moment.levels)
    return {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "bid_ticks": int(book["bid_ticks"]),
        "bid_lots": int(book["bid_lots"]),
        "ask_ticks": int(book["ask_ticks"]),
        "ask_lots": int(book["ask_lots"]),
        "age_ns": moment.trigger.now_ns - moment.book_ns if moment.book_ns else None,
        "position_lots": int(book["position_lots"]),
        # The side counts an order as open as soon as it is wanted: these hold what this decision added.
        "then_open_buy_lots": int(book["open_buy_lots"]),
        "then_open_sell_lots": int(book["open_sell_lots"]),
        "bids": bids,
        "asks": asks,
    }


def _decision(moment: Moment, plan: LivePlan, config: RunConfig) -> dict[str, Any]:
    told: dict[str, Any] = {
        "same_as_then": moment.same,
        "strategy": plan.strategy.name,
        "wanted": _placed(moment.place),
        "beside": [_action(one) for one in moment.beside],
        "heard_after_ns": None if moment.answered is None else moment.answered.now_ns - moment.trigger.now_ns,
    }
    if config.making is not None:
        parts = quote_parts(moment.books, moment.depth, moment.params, moment.state, moment.tag)
        if parts is not None:
            maker = plan.instruments[moment.place.instrument].fees.maker
            edge_bps = moment.place.side * (parts.fair_ticks - moment.place.ticks) / parts.fair_ticks * BPS
            told["making"] = {
                **msgspec.to_builtins(parts),
                "agrees": parts.ticks == moment.place.ticks,
                "edge_to_fair_bps": edge_bps,
                "maker_fee_bps": float(maker * BPS),
                "edge_after_fee_bps": edge_bps - float(maker * BPS),
            }
    else:
        told["arbitrage"] = {"leg": reason_of(moment.tag).name.lower(), "expected_edge_bps": expected_edge_bps(moment.tag)}
    return told


def _action(one: Action) -> dict[str, Any]:
    if isinstance(one, Place):
        return {"place": _placed(one)}
    if isinstance(one, EdgeCollapse):
        return {"edge_bps": one.measured_bps, "threshold_bps": one.threshold_bps}
    return {"cancel": one.client_id, "reason": TAKEN_BACK}


# What the gate decided


def _gate(stood: Stood) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(stood)
    del told["again"]
    return told


def _limits(subject: Subject) -> tuple[JudgedLimit, ...]:
    if subject.permit is not None:
        return of_permit(subject.permit.evaluations)
    if subject.deny is not None:
        return of_denial(subject.deny.rule, () if subject.stood is None else subject.stood.again)
    return ()


def _limit(one: JudgedLimit) -> dict[str, Any]:
    return {
        "limit": one.limit,
        "verdict": one.verdict.value,
        "unit": one.unit.value,
        "value": one.value,
        "bound": one.bound,
        "headroom": one.headroom,
        "again": one.again,
    }


def _permit(permit: r.Permit) -> dict[str, Any]:
    told = plain(permit)
    del told["evaluations"]
    return told


def _denial(subject: Subject, moment: Moment | None) -> dict[str, Any] | None:
    if subject.deny is not None:
        return {"recorded": True, **plain(subject.deny)}
    if subject.found or moment is None or moment.answered is None or moment.client_id:
        return None
    return {
        "recorded": False,
        "why_not": "denials of one strategy by one rule within a second of a recorded one are counted, and denied batches are told whole",
        "before": None if subject.before is None else plain(subject.before),
        "after": None if subject.after is None else plain(subject.after),
    }


def _told(subject: Subject, kinds: tuple[type[r.Record], ...]) -> list[dict[str, Any]]:
    return [{"lsn": lsn, **plain(record)} for lsn, record in subject.records if isinstance(record, kinds)]
