"""A hand on simulators that run as a process: orders that somebody rests there, faults, and what is true."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from interlock.domain.orders import Side
from interlock.simulate.served.listing import instruments_of

SIDE, DAY, KRW = Side.BUY, date(2026, 11, 21), Decimal(1450)
PRICES = {
    base: Decimal(str(price))
    for base, price in (("BTC", 62000), ("ETH", 3100), ("XRP", 2.2), ("SOL", 150), ("DOGE", 0.2), ("ADA", 0.7), ("USDT", 1))
}
VENUES = ("upbit", "binance_usdm", "bybit")


def symbols_of(venue: str) -> tuple[str, ...]:
    """Every symbol of a simulated venue."""
    return tuple(instrument.symbol for instrument in instruments_of(venue))


class Hand:
    """`where` is the first line that the simulators said."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where

    def happen(self, *faults: dict[str, Any]) -> None:
        self._ask("/faults", json.dumps(list(faults)).encode())

    def calm(self) -> None:
        """Honest from now on."""
        urllib.request.urlopen(urllib.request.Request(f"{self.where['control']}/faults", method="DELETE"), timeout=10).close()

    def forget_limits(self) -> None:
        """Nothing of the venues' limits is used any more."""
        urllib.request.urlopen(urllib.request.Request(f"{self.where['control']}/limits", method="DELETE"), timeout=10).close()

    def permit(self, venue: str, key: str, *, trade: bool = False, withdraw: bool = False, transfer: bool = False) -> None:
        """Its owner lets a key do this from now on, and nothing else but look."""
        self._ask("/keys", json.dumps({"venue": venue, "key": key, "trade": trade, "withdraw": withdraw, "transfer": transfer}).encode())

    def state(self, venue: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("/state")[venue]
        return found

    def open_ids(self, venue: str) -> set[str]:
        """The client ids of what is open; empty ones are not told apart."""
        return {order["client_id"] for order in self.state(venue)["orders"] if order["state"] in ("open", "partial")}

    def happened(self) -> dict[str, int]:
        """How often each fault happened."""
        found: dict[str, int] = self._ask("/faults")
        return found

    def asked(self, venue: str) -> list[dict[str, Any]]:
        """What the venue was asked with a key, in order, as its witness has it."""
        written = Path(self.where["witness"]).read_text(encoding="utf-8")
        lines = (json.loads(line) for line in written[: written.rfind("\n") + 1].splitlines())  # the last one may be being written
        return [line for line in lines if line.get("venue") == venue and "verb" in line]

    def rest_orders(self, venue: str, count: int, prefix: str, **more: Any) -> list[str]:
        """So many orders that rest far below the market, over all symbols of a venue; without a prefix they have no client id."""
        chosen = instruments_of(venue)
        faults = []
        for number in range(count):
            instrument = chosen[number % len(chosen)]
            wanted = PRICES[instrument.base] * (KRW if venue == "upbit" else 1) * Decimal("0.8")
            price = instrument.price(instrument.round_price(wanted, SIDE, DAY))
            size = instrument.lot * max(instrument.min_lots, int(instrument.min_notional * 2 / (price * instrument.lot)) + 1)
            faults.append(
                {
                    "fault": "foreign_order",
                    "venue": venue,
                    "symbol": instrument.symbol,
                    "side": "buy",
                    "price": str(price),
                    "amount": f"{size:f}",
                    "client_id": f"{prefix}{number}" if prefix else "",
                    **more,
                }
            )
        self.happen(*faults)
        return [fault["client_id"] for fault in faults]

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.where['control']}{path}", body), timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
