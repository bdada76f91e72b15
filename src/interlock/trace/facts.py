"""What one lot at one tick is worth: told from outside, because the journal holds quanta and no sizes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from interlock.domain.errors import BadInput
from interlock.trace.values import Fields


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decimal text: the price of one tick and the size of one lot; `currency` is what the price is in."""

    tick: Decimal
    lot: Decimal
    currency: str
    multiplier: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Facts:
    """Instruments by "venue/symbol"; empty where none were given, and then nothing is recomputed in money."""

    instruments: dict[str, Instrument] = field(default_factory=dict)

    def in_our_ticks(self, venue: str, symbol: str, ticks: int, tick: str) -> int | str | None:
        """A price of the witness in the ticks of the journal: a venue may count in finer or coarser ones. As it is where the witness says nothing of
        them, and None where it does and there are no facts to hold that to.

        Text for one that is between two of ours, or whose tick is no number.
        """
        if not tick:
            return ticks
        known = self.instruments.get(f"{venue}/{symbol}")
        if known is None:
            return None
        try:
            found = ticks * Decimal(tick) / known.tick
            return int(found) if found == found.to_integral_value() else f"{found:f}"
        except (ArithmeticError, ValueError):
            return f"{ticks} ticks of {tick!r}"

    def worth_usd(self, intent: Fields, permit: Fields) -> Decimal | str:
        """The least that an order may be valued at, USD: its price or the recorded ask, at the recorded rate; or what is missing for that."""
        if not self.instruments:
            return Decimal(0)
        name = f"{intent['venue']}/{intent['symbol']}"
        known = self.instruments.get(name)
        if known is None:
            return f"expected facts of {name}, found none"
        rates = {"USD": "1", **dict(permit["usd_rates"])}
        if known.currency not in rates:
            return f"expected a rate for {known.currency} in the permit, found {sorted(rates)}"
        asks = [book["ask_ticks"] for book in permit["books"] if (book["venue"], book["symbol"]) == (intent["venue"], intent["symbol"])]
        ticks: int = max(intent["ticks"], *asks, 0)
        lots: int = intent["lots"]
        return ticks * known.tick * lots * known.lot * known.multiplier * Decimal(rates[known.currency])


def read_facts(path: Path | None) -> Facts:
    """Read `{"venue/symbol": {"tick": "0.1", "lot": "0.001", "currency": "USDT"}}`. Raises BadInput."""
    if path is None:
        return Facts()
    try:
        return Facts(msgspec.json.decode(path.read_bytes(), type=dict[str, Instrument]))
    except OSError as error:
        raise BadInput(path, "", f"expected a file of instrument facts, found: {error.strerror or error}; check the path") from error
    except (msgspec.DecodeError, InvalidOperation) as error:
        raise BadInput(path, "", f'expected {{"venue/symbol": {{"tick", "lot", "currency"}}}}, found: {error}; correct the file') from error
