"""`interlock why`: one order or denial from the frame that led to it to its end."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from interlock.cli import exit_codes
from interlock.domain.errors import UsageError

_UNIT: Final = {"count": "", "lots": " lots", "micro_usd": " USD", "millionths": " millionths", "ns": " ms"}
_MILLION: Final = 1_000_000


def why(
    client_id: Annotated[str | None, Parameter(name="CLIENT_ID")] = None,
    /,
    *,
    from_run: Path,
    intent: int | None = None,
    json: bool = False,
) -> int:
    """Tell why an order of a run was made or denied: the frame, the book, the decision, every limit with its headroom, the wire, its end.

    It reads the run's folder and nothing else; the engine's decision is decided again by the code that ran. A denial never had a client id on the
    wire: ask for it by the number of its intent. Exit code 1 for an id or number that nobody knows, 3 if the journal or a log of inputs is damaged.

    Parameters
    ----------
    client_id
        The order's client id, as the venue, the journal and `interlock status` have it.
    from_run
        The folder of the run.
    intent
        Instead of an id, and the way to ask for a denial, which never had an id on the wire: the engine's number of the intent, `sequence` in the
        journal's records of intents and denials.
    json
        Print one JSON object instead of text.
    """
    if (client_id is None) == (intent is None):
        raise UsageError("expected a CLIENT_ID or --intent N, one of the two; a denial has only the number of its intent")
    from interlock.console.screen import safe
    from interlock.run.why import why as chain_of

    told = chain_of(from_run, client_id, intent)
    # A frame or a venue's code is the text of others, and may hold signs that a terminal acts on.
    print(json_format.dumps(told, ensure_ascii=False) if json else "\n".join(map(safe, lines(told))))
    return exit_codes.DONE


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The chain for a person, oldest first. Times count from the input that the decision was made at, or from the intent."""
    zero_ns = _zero_ns(told)
    yield _title(told)
    yield from _engine(told)
    yield from _gate(told)
    yield from _limits(told)
    yield from _after(told, zero_ns)


def _zero_ns(told: Mapping[str, Any]) -> int | None:
    if told["frame"] is not None:
        return int(told["frame"]["decided_at"]["boot_ns"])
    return None if told["intent"] is None else int(told["intent"]["created_boot_ns"])


def _title(told: Mapping[str, Any]) -> str:
    order = told["order"]
    what = (
        ""
        if order is None
        else (
            f": {order['side']} {order.get('size', str(order['lots']) + ' lots')} at {order.get('price', str(order['ticks']) + ' ticks')} "
            f"{order['tif']}{' reduce-only' if order['reduce_only'] else ''} {order['venue']}:{order['symbol']}"
        )
    )
    return f"{told['result']} {told['client_id'] or 'no client id'}, intent {told['sequence']} of {told['strategy']}{what}"


def _engine(told: Mapping[str, Any]) -> Iterator[str]:
    if told["engine_missing"]:
        yield f"engine    {told['engine_missing']}"
        return
    at, last, book, decision = told["frame"]["decided_at"], told["frame"]["book_changed_by"], told["book"], told["decision"]
    yield f"frame     decided at input {at['input']} ({at['kind']}{_words(at)})"
    if last is not None:
        yield (
            f"          book of {last['venue']}:{last['symbol']} changed by input {last['input']} ({last['kind']}{_words(last)}), "
            f"{_ms(last['age_ns'])} before; by the venue's time {_ms(last['venue_age_ns'])}"
        )
        if last["text"]:
            yield f"          {last['text'][:160]}{'...' if last['bytes'] > 160 else ''}"
    yield (
        f"book      bid {_level(book['bids'])}, ask {_level(book['asks'])}; position {book['position_lots']} lots, "
        f"open with this decision {book['then_open_buy_lots']} to buy and {book['then_open_sell_lots']} to sell"
    )
    making = decision.get("making")
    if making is not None:
        yield (
            f"decision  quote {making['level']}: fair {making['fair_ticks']:.2f} ticks (mid {making['mid_ticks']:.1f}, micro-price "
            f"{making['micro_price_ticks']:.2f}, imbalance {making['imbalance']:+.3f}), centre {making['centre_ticks']:.2f} "
            f"(lean {making['lean']:+.3f})"
        )
        yield (
            f"          distance {making['distance_bps']:.3f} bps (half-spread {making['half_spread_bps']:.3f}, volatility "
            f"{making['volatility_bps']:.3f}): {making['ticks']} ticks{'' if making['agrees'] else ', and another price was wanted'}"
        )
        yield (
            f"          edge {making['edge_to_fair_bps']:+.3f} bps to fair, maker fee {making['maker_fee_bps']:g} bps: "
            f"{making['edge_after_fee_bps']:+.3f} bps if it fills at once"
        )
    elif "arbitrage" in decision:
        yield f"decision  {decision['arbitrage']['leg']}, expected edge {decision['arbitrage']['expected_edge_bps']:+.2f} bps"
    for one in decision["beside"]:
        placed = one.get("place")
        said = f"cancel {one['cancel']}" if placed is None else f"{placed['side']} {placed['lots']} lots at {placed['ticks']} ticks"
        yield f"          beside it: {said}"
    if not decision["same_as_then"]:
        yield "          DECIDED OTHERWISE THEN: the log says that something else was wanted; see `interlock replay --from-run`"


def _words(one: Mapping[str, Any]) -> str:
    return (f", {one['what']}" if one["what"] else "") + (f", sequence {one['venue_sequence']}" if one["venue_sequence"] else "")


def _level(levels: list[Mapping[str, Any]]) -> str:
    return "none" if not levels else f"{levels[0]['price']} x {levels[0]['lots']} lots"


def _gate(told: Mapping[str, Any]) -> Iterator[str]:
    stood, denial, permit = told["gate"], told["denial"], told["permit"]
    if stood is not None:
        ended = f", ended: {stood['grant_ended']}" if stood["grant_ended"] else ""
        grant = f"grant {stood['grant_id'][:12]}{ended}" if stood["grant_id"] else "no grant"
        held = [f"{one['name']} ({one['scope']} {one['subject']}, {one['level']})" for one in (*stood["latches"], *stood["trips"])]
        yield f"gate      level {stood['level']}, {grant}; latches and trips: {', '.join(held) or 'none'}"
    if permit is not None:
        mandate = f", mandate {permit['mandate']}" if permit["mandate"] else ""
        yield f"permit    worth {permit['notional_usd']} USD under a cap of {permit['cap_usd']}{mandate}; body {permit['body_hash'][:16]}..."
    if denial is not None and denial["recorded"]:
        count = f" ({denial['count']} at once)" if denial["count"] > 1 else ""
        yield f"denied    {denial['rule']}: {denial['detail'] or 'no more is said'}{count}"
    elif denial is not None:
        yield f"denied    without a record of its own: {denial['why_not']}"
        for name in ("before", "after"):
            if denial[name] is not None:
                yield f"          the recorded one {name} it: {denial[name]['rule']}: {denial[name]['detail']} (count {denial[name]['count']})"


def _limits(told: Mapping[str, Any]) -> Iterator[str]:
    """Each limit with figures on a line of its own; those without, by what became of them."""
    bare: dict[str, list[str]] = {}
    rows = []
    for one in told["limits"]:
        if one["value"] is None or one["unit"] == "holds":
            bare.setdefault(one["verdict"], []).append(one["limit"])
            continue
        value, bound, left = (_figure(one[name], one["unit"]) for name in ("value", "bound", "headroom"))
        again = " (evaluated again from the journal)" if one["again"] else ""
        rows.append(f"{one['verdict']:<12}{one['limit']}: {value} of {bound}, headroom {left}{again}")
    rows += [f"{verdict:<12}{', '.join(names)}" for verdict, names in bare.items()]
    for number, row in enumerate(rows):
        yield ("limits    " if number == 0 else "          ") + row
    if rows and told["denial"] is not None and told["gate"]["not_again"]:
        yield f"          none evaluated again: {told['gate']['not_again']}"


def _figure(value: int, unit: str) -> str:
    if unit in ("micro_usd", "ns"):
        return f"{value / _MILLION:.3f}{_UNIT[unit]}"
    return f"{value}{_UNIT[unit]}"


def _after(told: Mapping[str, Any], zero_ns: int | None) -> Iterator[str]:
    """What followed the permit, in the order of the journal."""
    steps = sorted(
        ((one["lsn"], name, one) for name in ("wire", "venue", "fills", "cancel") for one in told[name]), key=lambda step: step[0]
    )
    for lsn, name, one in steps:
        left = {key: value for key, value in one.items() if key not in ("lsn", "k", "client_id", "boot_ns") and value not in ("", 0, None)}
        fields = " ".join(f"{key}={value}" for key, value in left.items())
        after = "" if zero_ns is None else f" +{_ms(one['boot_ns'] - zero_ns)}"
        yield f"{name:<10}{one['k']}{after} (record {lsn}) {fields}"
    end = told["end"]
    if end is not None:
        cancel = f", cancelled because of {end['cancel_reason']} by {end['cancel_by']}" if end["cancel_reason"] else ""
        yield f"end       {end['state']}{'' if end['final'] else ' when the journal ends'}, {end['filled_lots']} of {end['lots']} lots filled{cancel}"


def _ms(ns: int | None) -> str:
    return "not known" if ns is None else f"{ns / _MILLION:.3f} ms"
