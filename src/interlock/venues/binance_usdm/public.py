"""The public side of Binance USDⓈ-M: bridging depth diffs to a snapshot, and instruments from exchangeInfo."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from interlock.domain.instruments import Instrument, Kind, Status
from interlock.domain.price_rules import fixed_step
from interlock.market.shipped import ASSUMED_TIERS, BINANCE_FEES
from interlock.venues.binance_usdm.wire import DepthUpdate, ExchangeInfo, Snapshot, SymbolInfo

VENUE = "binance_usdm"


class Gap(Exception):
    """The chain of depth events is broken: an event's `pu` is not the `u` of the one before it.

    `expected` is that u, `found` the pu. The book must be built again from a new snapshot.
    """

    def __init__(self, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"depth events are missing: expected pu {expected}, found {found}")


class SnapshotTooOld(Exception):
    """The snapshot was taken before the first event that was kept; fetch another."""

    def __init__(self, last_update: int, first: int) -> None:
        self.last_update = last_update
        self.first = first
        super().__init__(f"the snapshot does not reach the diffs: expected lastUpdateId >= {first}, found {last_update}")


class DepthBridge:
    """Which depth events may be applied to a book, for one symbol.

    The venue's rule (USDⓈ-M docs, "How to manage a local order book correctly"): keep events until the snapshot, drop those with
    u < lastUpdateId, begin with the one that spans lastUpdateId, then every pu must equal the u before. The first event is accepted
    where pu <= lastUpdateId <= u: ids are shared by all symbols, so a snapshot's id can lie between an event's pu and its U with nothing
    missing, which the documented U <= lastUpdateId would refuse.
    """

    def __init__(self) -> None:
        self.synced = False
        self.last_update = 0
        self._seen = 0
        self._kept: list[DepthUpdate] = []

    def diff(self, event: DepthUpdate) -> bool:
        """Take an event; True if it applies to the book now. Raises Gap if the chain is broken, ValueError if its own ids are."""
        if not event.pu <= event.U <= event.u:
            raise ValueError(f"depth event: expected pu <= U <= u, found {event.pu}, {event.U}, {event.u}")
        if self._seen and event.pu != self._seen:
            raise Gap(self._seen, event.pu)
        self._seen = event.u
        if not self.synced:
            self._kept.append(event)
            return False
        if event.u < self.last_update:
            return False
        if event.pu > self.last_update:
            raise SnapshotTooOld(self.last_update, event.pu)
        self.last_update = event.u
        return True

    def snapshot(self, snapshot: Snapshot) -> list[DepthUpdate]:
        """Take a snapshot; returns the kept events to apply after it, in order. Raises SnapshotTooOld."""
        keep = [event for event in self._kept if event.u >= snapshot.lastUpdateId]
        if keep and keep[0].pu > snapshot.lastUpdateId:
            raise SnapshotTooOld(snapshot.lastUpdateId, keep[0].pu)
        self._kept = []
        self.synced = True
        self.last_update = keep[-1].u if keep else snapshot.lastUpdateId
        return keep


_STATUS = {"TRADING": Status.TRADING, "PENDING_TRADING": Status.HALTED}


def instruments(info: ExchangeInfo) -> list[Instrument]:
    """The perpetuals of an exchangeInfo body, with their real filters; fees and margin tiers are assumed.

    Raises ValueError for a perpetual without a price or lot filter.
    """
    day = datetime.fromtimestamp(info.serverTime / 1000, UTC).date()
    return [_instrument(symbol, day) for symbol in info.symbols if symbol.contractType == "PERPETUAL"]


def _instrument(symbol: SymbolInfo, day: date) -> Instrument:
    filters = {f.filterType: f for f in symbol.filters}
    try:
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    except KeyError as missing:
        raise ValueError(f"{symbol.symbol}: expected a filter {missing}, found {sorted(filters)}") from None
    market = filters.get("MARKET_LOT_SIZE", lot)
    tick, step = Decimal(price.tickSize).normalize(), Decimal(lot.stepSize).normalize()
    # A tick that was made coarser leaves old orders on the finer prices, so the book can hold any price that can be printed.
    quantum = min(tick, Decimal(1).scaleb(-symbol.pricePrecision))
    notional = filters.get("MIN_NOTIONAL")
    source = f"exchangeInfo of {day}; fees and margin tiers assumed"
    return Instrument(
        venue=VENUE,
        symbol=symbol.symbol,
        base=symbol.baseAsset,
        quote=symbol.quoteAsset,
        settle=symbol.marginAsset,
        kind=Kind.PERPETUAL,
        quantum=quantum,
        lot=step,
        price_rule=fixed_step(f"{VENUE}-{symbol.symbol}", tick, source),
        min_price=Decimal(price.minPrice) or tick,
        max_price=Decimal(price.maxPrice),
        fees=BINANCE_FEES,
        min_lots=max(1, int(Decimal(lot.minQty) / step)),
        max_lots=int(Decimal(lot.maxQty) / step),
        max_market_lots=int(Decimal(market.maxQty) / step),
        min_notional=Decimal(notional.notional) if notional and notional.notional else Decimal(0),
        funding_interval_h=8,
        margin_tiers=ASSUMED_TIERS,
        status=_STATUS.get(symbol.status, Status.HALTED),
        valid_from=day,
        source=source,
    )
