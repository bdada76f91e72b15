"""The plain words of the report: what each part, world, refusal and way to end means. No figures are made here."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.simulate.layout import FINAL_CANCELLED, FINAL_EXPIRED, FINAL_FILLED, FINAL_OPEN_AT_END, FINAL_REJECTED
from interlock.simulate.settings import QueueModel
from interlock.strategies.tags import Leg

QUEUES: Mapping[QueueModel, str] = {QueueModel.RISK_AVERSE: "risk-averse queue model", QueueModel.POWER: "power queue model"}

PARTS: Mapping[str, tuple[str, str]] = {
    "spread_capture": ("Spread capture", "Distance of our fills from the mid just before them."),
    "markout": ("Markout, 5 s", "Move of the mid in the 5 s after each fill; negative where the market ran us over."),
    "inventory": ("Inventory", "Move of the mid after those 5 s on what was held, until the end."),
    "premium": ("Premium", "Exit premium less entry premium of the hedged part, at the prices decided on."),
    "hedge_residual": ("Unhedged part", "Price moves of what one leg held and the other did not cover."),
    "latency": ("Latency", "From the mid at the decision to the mid when the order arrived."),
    "slippage_spot": ("Slippage, spot", "From the mid at arrival to the price paid, spot leg."),
    "slippage_perp": ("Slippage, perpetual", "From the mid at arrival to the price paid, perpetual leg."),
    "fees": ("Fees", "Paid to the venues, for each fill."),
    "rebates": ("Rebates", "Received from the venues for resting orders."),
    "funding": ("Funding", "Received (or paid) on perpetuals held through settlements, beyond the opening position."),
    "fx": ("FX", "What the exchange rate of the currencies did to what was traded."),
    "liquidation": (
        "Closing the rest",
        "What selling out at the end costs: half the spread and the taker fee on what was left beyond the opening position.",
    ),
    "opening_inventory": (
        "Held opening inventory",
        "What merely holding the opening position would have given, no order sent: price moves, funding and closing. No result of trading.",
    ),
    "residual": ("Residual", "What the parts leave unexplained; it must vanish."),
}
"""By name of a part of the edge: its title and in one sentence what it is."""

WORLDS: Mapping[str, str] = {
    "base": "As run",
    "latency_x2": "Latency x 2",
    "latency_x4": "Latency x 4",
    "latency_x8": "Latency x 8",
    "fee_plus_1bp": "Fees + 1 bp",
    "fee_plus_2bp": "Fees + 2 bp",
    "maker_rate_zero": "Maker rate zero",
    "fx_plus_0.1pct": "FX + 0.1 %",
    "fx_minus_0.1pct": "FX - 0.1 %",
}

FINAL_STATES: tuple[tuple[int, str, str], ...] = (
    (FINAL_FILLED, "filled", "in full"),
    (FINAL_CANCELLED, "cancelled", "taken back by us"),
    (FINAL_EXPIRED, "expired", "ended by the venue"),
    (FINAL_REJECTED, "rejected", "refused by the venue"),
    (FINAL_OPEN_AT_END, "open at end", "still ours when the data ended"),
)
"""Code of `simulate.layout`, name, meaning."""

REFUSALS: Mapping[str, str] = {
    "bad_intent": "ours: the strategy asked for something impossible",
    "order_size": "ours: below the smallest or above the largest order",
    "position_cap": "ours: all open orders filled would pass the position limit",
    "open_orders": "ours: too many open orders",
    "collar": "ours: too far from the mid",
    "rate_budget": "ours: the venue's message budget was used up",
    "no_slot": "ours: no room for another order",
    "not_cancellable": "ours: nothing there to cancel any more",
    "not_trading": "ours: the venue takes no orders for this instrument now",
    "price_step": "venue: the price is no multiple of its price step",
    "quantity": "venue: the quantity is not allowed",
    "min_notional": "venue: worth less than the smallest order",
    "post_only_would_take": "venue: a resting order would have traded at once",
    "ioc_rest": "venue: nothing (more) to take within the limit of an immediate order",
    "fok_not_fillable": "venue: could not be filled as a whole",
    "self_match": "venue: would have traded with ourselves",
    "insufficient_balance": "venue: not enough balance",
    "insufficient_margin": "venue: not enough margin",
    "overload": "venue: too busy",
    "halted": "venue: trading was halted",
    "cancel_too_late": "venue: the order was already filled or gone when the cancel arrived",
    "reduce_only": "venue: would have enlarged the position",
    "bar_not_reached": "venue: the next bar did not trade at the limit",
    "price_band": "venue: the price lies outside the band that it accepts",
}
"""By reason of a refusal (`Outcome.counts`). What we cancelled ourselves is no refusal and is not among them."""

GATE_RULE = "denied: the gate's rule of this name"
"""Of what the gate denied in a replay that it decided."""

EXITS: Mapping[Leg, tuple[str, str]] = {
    Leg.TAKE_PROFIT: ("take profit", "the premium came back far enough"),
    Leg.STOP_LOSS: ("stop loss", "the loss reached its limit"),
    Leg.TIME_LIMIT: ("time limit", "held as long as allowed"),
    Leg.REVERSAL: ("reversal", "the opposite trade became the better one"),
    Leg.HEALTH: ("health", "prices too old or out of range to go on"),
}


def world_name(name: str, queue: QueueModel) -> str:
    """A world of the fragility card in words. queue: the model of the run itself."""
    if name == "queue_other":
        other = QueueModel.POWER if queue is QueueModel.RISK_AVERSE else QueueModel.RISK_AVERSE
        return QUEUES[other].capitalize()
    return WORLDS.get(name, name)


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def listed(names: tuple[str, ...], most: int = 6) -> str:
    """`a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
