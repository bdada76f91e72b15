"""What happens to an account without its client's doing: other people's orders, the venue's own hand, money that comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from interlock.domain.orders import Liquidity, OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.matching import Matching, Order
from interlock.venues.fake.wire import Balance, Execution, LedgerEntry, NewOrder, OrderView, Position

FOREIGN_AWAY_TICKS = 1_000
THIRD_ASSET = "BNB"


class World:
    """Changes the truth from outside; each method says whether there was anything to change."""

    def __init__(
        self, matching: Matching, emit: Callable[[OrderView | Execution | Position | Balance | LedgerEntry], None], clock: Callable[[], int]
    ) -> None:
        self.matching = matching
        self.account = matching.account
        self._emit = emit
        self._clock = clock

    def strike(self, spec: FaultSpec) -> bool:
        """Carry out a fault of the world; False where it found nothing to act on, or is none of the world."""
        symbol = spec.symbol or next(iter(self.matching.books))
        if symbol not in self.matching.books:
            return False
        book = self.matching.books[symbol]
        quote = self.account.infos[symbol].quote
        match spec.fault:
            case Fault.FOREIGN_ORDER:
                ticks = max(1, book.bid_ticks - FOREIGN_AWAY_TICKS)
                return self.foreign_order(symbol, Side.BUY, ticks, spec.count, spec.client_id) is not None
            case Fault.FOREIGN_FILL:
                return self.foreign_order(symbol, Side.BUY, book.ask_ticks, spec.count, spec.client_id) is not None
            case Fault.FILL_REVERSAL:
                last = self.account.last_standing()
                return last is not None and self.reverse(last.trade_id)
            case Fault.LIQUIDATION | Fault.ADL:
                return self.take_over(symbol, spec.fault.value)
            case Fault.FUNDING:
                return self.ledger("funding", quote, Decimal(spec.amount), symbol)
            case Fault.DEPOSIT:
                return self.ledger("deposit", quote, Decimal(spec.amount), "")
            case Fault.AIRDROP:
                return self.ledger("airdrop", "GIFT", Decimal(spec.amount), "")
            case Fault.THIRD_ASSET_FEE:
                return self.ledger("fee", THIRD_ASSET, -Decimal(spec.amount), "")
        return False

    def foreign_order(self, symbol: str, side: Side, ticks: int, lots: int, client_id: str) -> Order | None:
        """Place an order that came by another way (an empty client id: by hand); None when its id is taken."""
        if client_id and self.matching.find(client_id) is not None:
            return None
        return self.matching.place(
            NewOrder(
                client_id=client_id,
                symbol=symbol,
                side=side,
                type=OrderType.LIMIT,
                tif=TimeInForce.GTC,
                reduce_only=False,
                ticks=ticks,
                lots=lots,
            )
        )

    def reverse(self, trade_id: str) -> bool:
        """Take back an execution that stands; False when there is none of that id."""
        for execution in self.account.executions:
            if execution.trade_id == trade_id and trade_id not in self.account.reversed:
                self.matching.reverse(execution)
                return True
        return False

    def take_over(self, symbol: str, kind: str) -> bool:
        """Close the position of a symbol by the venue's own hand ("liquidation" or "adl"); False when it is flat."""
        lots = self.account.holdings[symbol].lots
        if not lots:
            return False
        book = self.matching.books[symbol]
        execution = self.account.execute(
            client_id="",
            venue_order_id=f"{self.account.flavour.name}-{kind}-{len(self.account.executions) + 1}",
            symbol=symbol,
            side=Side.SELL if lots > 0 else Side.BUY,
            ticks=book.bid_ticks if lots > 0 else book.ask_ticks,
            lots=abs(lots),
            liquidity=Liquidity.TAKER,
            venue_ns=self._clock(),
        )
        self._emit(execution)
        self.matching.tell_holdings(symbol)
        return self.ledger(kind, self.account.infos[symbol].quote, Decimal(0), symbol)

    def ledger(self, kind: str, currency: str, amount: Decimal, symbol: str) -> bool:
        """Move a balance, in whatever currency. Raises ValueError for an amount that is no number."""
        self._emit(self.account.enter(kind, currency, amount, symbol, self._clock()))
        self._emit(self.account.balance(currency))
        return True
