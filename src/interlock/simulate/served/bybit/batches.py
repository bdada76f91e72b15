"""Batches: every item is taken or refused by itself, in two lists side by side, and the whole is always answered with 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from interlock.simulate.served.bybit import verbs
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.desk import Desk, Handler
from interlock.simulate.served.bybit.envelope import Done, ms
from interlock.simulate.served.bybit.words import OVER_LIMIT, PARAMS, Failed

MOST: Final = {"linear": 20, "spot": 10, "inverse": 20, "option": 20}
OVER: Final = (OVER_LIMIT, "Too many visits. Exceeded the API Rate Limit.")


def create_batch(desk: Desk, ask: Ask) -> Done:
    """Place several orders."""
    return _each(desk, ask, verbs.create, lambda item: {"createAt": ms(desk.venue.now_ns())})


def amend_batch(desk: Desk, ask: Ask) -> Done:
    """Amend several orders."""
    return _each(desk, ask, verbs.amend, lambda item: {})


def cancel_batch(desk: Desk, ask: Ask) -> Done:
    """Cancel several orders."""
    return _each(desk, ask, verbs.cancel, lambda item: {})


def items_of(ask: Ask) -> list[Ask]:
    """The items of a batch, each with the batch's category. Raises Failed for what is no batch."""
    category, items = ask.category(), ask.fields.get("request")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Failed(PARAMS, "params error: request is required")
    if len(items) > MOST[category]:
        raise Failed(PARAMS, f"params error: expected at most {MOST[category]} orders, found {len(items)}")
    return [ask.item({**item, "category": category}) for item in items]


def _each(desk: Desk, ask: Ask, act: Handler, more: Callable[[Ask], dict[str, Any]]) -> Done:
    rows, codes = [], []
    for number, item in enumerate(items_of(ask)):
        row = {
            "category": item.text("category"),
            "symbol": _plain(item, "symbol"),
            "orderId": "",
            "orderLinkId": _plain(item, "orderLinkId"),
        }
        try:
            if ask.batch_cut is not None and number >= ask.batch_cut:
                raise Failed(*OVER)
            row |= dict(act(desk, item).result) | more(item)
            codes.append({"code": 0, "msg": "OK"})
        except Failed as failed:
            codes.append({"code": failed.code, "msg": failed.text})
        rows.append(row)
    return Done({"list": rows}, {"list": codes})


def _plain(item: Ask, name: str) -> str:
    """A parameter as it came, also of an item that is refused for it."""
    value = item.fields.get(name)
    return value if isinstance(value, str) else ""
