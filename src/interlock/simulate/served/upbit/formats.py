"""The formats of a stream's messages: long or short names, alone or in a list of one.

Source: the field tables of the WebSocket reference, a short name for every long one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.simulate.served.upbit.texts import encode

_COMMON: Final = {"type": "ty", "code": "cd", "timestamp": "tms", "stream_type": "st"}
_PRICES: Final = {
    "trade_price": "tp",
    "trade_volume": "tv",
    "ask_bid": "ab",
    "prev_closing_price": "pcp",
    "change": "c",
    "change_price": "cp",
    "trade_time": "ttm",
    "trade_timestamp": "ttms",
}
_CANDLE: Final = {
    **_COMMON,
    "candle_date_time_utc": "cdttmu",
    "candle_date_time_kst": "cdttmk",
    "opening_price": "op",
    "high_price": "hp",
    "low_price": "lp",
    "trade_price": "tp",
    "candle_acc_trade_volume": "catv",
    "candle_acc_trade_price": "catp",
}
_SHORT: Final[Mapping[str, Mapping[str, str]]] = {
    "orderbook": {
        **_COMMON,
        "total_ask_size": "tas",
        "total_bid_size": "tbs",
        "orderbook_units": "obu",
        "ask_price": "ap",
        "bid_price": "bp",
        "ask_size": "as",
        "bid_size": "bs",
        "level": "lv",
    },
    "trade": {
        **_COMMON,
        **_PRICES,
        "trade_date": "td",
        "sequential_id": "sid",
        "best_ask_price": "bap",
        "best_ask_size": "bas",
        "best_bid_price": "bbp",
        "best_bid_size": "bbs",
    },
    "ticker": {
        **_COMMON,
        **_PRICES,
        "opening_price": "op",
        "high_price": "hp",
        "low_price": "lp",
        "change_rate": "cr",
        "signed_change_price": "scp",
        "signed_change_rate": "scr",
        "acc_trade_volume": "atv",
        "acc_trade_volume_24h": "atv24h",
        "acc_trade_price": "atp",
        "acc_trade_price_24h": "atp24h",
        "trade_date": "tdt",
        "acc_ask_volume": "aav",
        "acc_bid_volume": "abv",
        "highest_52_week_price": "h52wp",
        "highest_52_week_date": "h52wdt",
        "lowest_52_week_price": "l52wp",
        "lowest_52_week_date": "l52wdt",
        "market_state": "ms",
        "delisting_date": "dd",
    },
    "myOrder": {
        **_COMMON,
        "uuid": "uid",
        "ask_bid": "ab",
        "order_type": "ot",
        "state": "s",
        "trade_uuid": "tuid",
        "price": "p",
        "avg_price": "ap",
        "volume": "v",
        "remaining_volume": "rv",
        "executed_volume": "ev",
        "trades_count": "tc",
        "reserved_fee": "rsf",
        "remaining_fee": "rmf",
        "paid_fee": "pf",
        "locked": "l",
        "executed_funds": "ef",
        "time_in_force": "tif",
        "trade_fee": "tf",
        "is_maker": "im",
        "identifier": "id",
        "smp_type": "smpt",
        "prevented_volume": "pv",
        "prevented_locked": "pl",
        "trade_timestamp": "ttms",
        "order_timestamp": "otms",
    },
    "myAsset": {
        **_COMMON,
        "asset_uuid": "astuid",
        "assets": "ast",
        "currency": "cu",
        "balance": "b",
        "locked": "l",
        "asset_timestamp": "asttms",
    },
    "list": {"method": "mthd", "result": "rslt", "ticket": "tckt", "type": "ty", "codes": "cds", "level": "lv"},
}


def written(message: Mapping[str, Any], form: str, kind: str = "") -> bytes:
    """A message with long names as the bytes of a format; `kind` names the table where it is not the message's own type."""
    shown: Any = message
    if form.startswith("SIMPLE"):
        name = kind or str(message.get("type"))
        shown = _shortened(message, _CANDLE if name.startswith("candle.") else _SHORT.get(name, {}))
    return encode([shown] if form.endswith("LIST") else shown)


def _shortened(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {names.get(name, name): _shortened(part, names) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part, names) for part in value]
    return value
