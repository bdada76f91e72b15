"""Short ways to make the records that orders and the ledger are folded from."""

from collections.abc import Iterable
from decimal import Decimal

from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.order_machine import Violation
from interlock.gate.order_state import Orders
from interlock.gate.orders import apply

VENUE, ACCOUNT, SYMBOL = "bybit", "main", "BTCUSDT"
S = OrderState


def boot(wall_ns: int = 1_000, boot_ns: int = 0) -> r.Boot:
    return r.Boot(
        boot_ns=boot_ns,
        incarnation="i",
        kernel_boot_id="k",
        host="h",
        user="u",
        endpoint=r.Endpoint.LOOPBACK,
        accounts=(f"{VENUE}/{ACCOUNT}",),
        build="b",
        config="c",
        limits="l",
        wall_ns=wall_ns,
    )


def intent(
    client_id: str = "a",
    revision: int = 0,
    lots: int = 10,
    ticks: int = 100,
    side: Side = Side.BUY,
    symbol: str = SYMBOL,
    venue: str = VENUE,
    account: str = ACCOUNT,
    tif: TimeInForce = TimeInForce.GTC,
) -> r.Intent:
    return r.Intent(
        boot_ns=1,
        client_id=client_id,
        revision=revision,
        group="",
        strategy="s",
        venue=venue,
        account=account,
        symbol=symbol,
        side=side,
        type=OrderType.LIMIT,
        tif=tif,
        reduce_only=False,
        ticks=ticks,
        lots=lots,
        sequence=1,
        created_boot_ns=1,
        deadline_boot_ns=2,
        books=(),
    )


def permit(client_id: str = "a", revision: int = 0) -> r.Permit:
    return r.Permit(
        boot_ns=1,
        client_id=client_id,
        revision=revision,
        grant_id="g",
        epoch=1,
        mandate="",
        cap_usd=Decimal(1),
        notional_usd=Decimal(1),
        evaluations=(),
        books=(),
        usd_rates=(),
        body_hash="",
        deadline_boot_ns=2,
        wall_ns=1,
    )


def deny(client_id: str = "a") -> r.Deny:
    return r.Deny(boot_ns=1, client_id=client_id, strategy="s", rule="x", detail="")


def wire(client_id: str = "a", revision: int = 0) -> r.WireBegin:
    return r.WireBegin(boot_ns=1, client_id=client_id, revision=revision, connection="c")


def not_sent(client_id: str = "a", revision: int = 0) -> r.NotSent:
    return r.NotSent(boot_ns=1, client_id=client_id, revision=revision, reason="")


def sent(client_id: str = "a", revision: int = 0, sign_wall_ns: int = 1_000, window_ns: int = 100) -> r.Sent:
    return r.Sent(boot_ns=1, client_id=client_id, revision=revision, sign_wall_ns=sign_wall_ns, receive_window_ns=window_ns)


def unknown(client_id: str = "a", revision: int = 0) -> r.SendUnknown:
    return r.SendUnknown(boot_ns=1, client_id=client_id, revision=revision, reason="timeout")


def answer(state: OrderState, client_id: str = "a", revision: int = 0) -> r.Answered:
    return r.Answered(boot_ns=1, client_id=client_id, revision=revision, state=state, venue_order_id="v", code="")


def report(state: OrderState, filled: int = 0, lots: int = 0, venue_ns: int = 10, client_id: str = "a") -> r.Reported:
    return r.Reported(
        boot_ns=1,
        client_id=client_id,
        venue_order_id="v",
        state=state,
        filled_lots=filled,
        lots=lots,
        source="stream",
        code="",
        venue_ns=venue_ns,
    )


def fill(
    lots: int,
    trade_id: str = "t1",
    client_id: str = "a",
    side: Side = Side.BUY,
    ticks: int = 100,
    symbol: str = SYMBOL,
    venue: str = VENUE,
    account: str = ACCOUNT,
    fee: str = "0",
    fee_currency: str = "USDT",
    venue_ns: int = 10,
) -> r.Filled:
    return r.Filled(
        boot_ns=1,
        venue=venue,
        account=account,
        symbol=symbol,
        trade_id=trade_id,
        client_id=client_id,
        side=side,
        ticks=ticks,
        lots=lots,
        liquidity=Liquidity.TAKER,
        fee=Decimal(fee),
        fee_currency=fee_currency,
        venue_ns=venue_ns,
    )


def reversal(trade_id: str = "t1", symbol: str = SYMBOL) -> r.FillReversed:
    return r.FillReversed(boot_ns=1, venue=VENUE, account=ACCOUNT, symbol=symbol, trade_id=trade_id)


def absent(client_id: str = "a") -> r.Absent:
    return r.Absent(boot_ns=1, client_id=client_id, sightings=(), not_before_venue_ns=1)


def quarantined(client_id: str = "a") -> r.Quarantined:
    return r.Quarantined(boot_ns=1, client_id=client_id, reason="")


def released(state: OrderState, filled: int = 0, actor: str = "me", nonce: str = "n", client_id: str = "a") -> r.Released:
    return r.Released(boot_ns=1, client_id=client_id, state=state, filled_lots=filled, actor=actor, nonce=nonce)


def cancel(client_id: str = "a", boot_ns: int = 1) -> r.CancelWanted:
    return r.CancelWanted(boot_ns=boot_ns, client_id=client_id, reason="", actor="gate")


def cancel_sent(client_id: str = "a", boot_ns: int = 1, attempt: int = 1) -> r.CancelSent:
    return r.CancelSent(boot_ns=boot_ns, client_id=client_id, attempt=attempt)


def cancel_answer(accepted: bool, client_id: str = "a") -> r.CancelAnswered:
    return r.CancelAnswered(boot_ns=1, client_id=client_id, accepted=accepted, code="")


def event(
    kind: r.LedgerKind,
    amount: str,
    venue_id: str = "e1",
    currency: str = "USDT",
    symbol: str = "",
    lots: int = 0,
    ticks: int = 0,
    actor: str = "",
    nonce: str = "",
    venue_ns: int = 10,
) -> r.LedgerEvent:
    return r.LedgerEvent(
        boot_ns=1,
        kind=kind,
        venue=VENUE,
        account=ACCOUNT,
        venue_id=venue_id,
        currency=currency,
        amount=Decimal(amount),
        symbol=symbol,
        lots=lots,
        ticks=ticks,
        actor=actor,
        nonce=nonce,
        venue_ns=venue_ns,
    )


PLACED: tuple[r.Record, ...] = (intent(), permit(), wire(), sent())
OPENED: tuple[r.Record, ...] = (*PLACED, answer(S.OPEN))
LOST: tuple[r.Record, ...] = (*PLACED, unknown())


def fold(*records: r.Record) -> Orders:
    orders = Orders()
    for record in records:
        apply(orders, record)
    return orders


def violations(orders: Orders) -> list[Violation]:
    return [found.violation for found in orders.violations]


def naive_worst(orders: Orders) -> dict[tuple[str, str, str], tuple[int, int]]:
    """The worst case counted anew over all orders, as the specification has it."""
    return _sum((o.market, o.side, o.leaves_lots) for o in orders.by_id.values())


def _sum(parts: Iterable[tuple[tuple[str, str, str], Side, int]]) -> dict[tuple[str, str, str], tuple[int, int]]:
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for market, side, lots in parts:
        if lots:
            buys, sells = found.get(market, (0, 0))
            found[market] = (buys + lots, sells) if side is Side.BUY else (buys, sells + lots)
    return found
