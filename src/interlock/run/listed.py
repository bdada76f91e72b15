"""What a venue says of its instruments, asked without a key before anything that needs them begins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from interlock.domain.clock import NS_PER_S, Clock
from interlock.domain.errors import Refused, UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.binance_usdm import rules as binance_rules
from interlock.venues.binance_usdm.wire import decode_exchange_info
from interlock.venues.bybit import rules as bybit_rules
from interlock.venues.http_reader import HttpReader, ReadBroken
from interlock.venues.port import Nonsense
from interlock.venues.public_parts import describing_call
from interlock.venues.request import SignedCall
from interlock.venues.upbit import public as upbit_public
from interlock.venues.upbit.wire import decode_instruments

READ_S: Final = 5.0


async def listed_instruments(reader: HttpReader, venue: str, symbols: Sequence[str], clock: Clock) -> dict[str, Instrument]:
    """The instruments by symbol, in the order of `symbols`.

    Raises UsageError for symbols that the venue does not list, Refused when it cannot be asked or makes no sense.
    """
    call = describing_call(venue, tuple(symbols))
    try:
        heard = await reader.ask(SignedCall(call.method, call.path, call.query, (), call.body), READ_S)
    except ReadBroken as error:
        raise Refused(f"{venue}: {error}; its instruments could not be read") from error
    if heard.status != 200:
        raise Refused(f"{venue}: expected its instruments, found HTTP {heard.status}: {heard.body[:200]!r}")
    try:
        found = {instrument.symbol: instrument for instrument in _instruments(venue, heard.body, clock)}
    except (ValueError, ArithmeticError, msgspec.DecodeError, Nonsense) as error:
        raise Refused(f"{venue}: its instruments make no sense: {error}") from error
    missing = [symbol for symbol in symbols if symbol not in found]
    if missing:
        raise UsageError(f"{venue}: expected symbols that it lists, found {', '.join(missing)}")
    return {symbol: found[symbol] for symbol in symbols}


def _instruments(venue: str, body: bytes, clock: Clock) -> list[Instrument]:
    if venue == "upbit":
        day = datetime.fromtimestamp(clock.now_ns() / NS_PER_S, UTC).date()
        return upbit_public.instruments(decode_instruments(body), day)
    if venue == "bybit":
        return bybit_rules.instruments(body)
    return binance_rules.instruments(decode_exchange_info(body))
