"""Disconnection protection (DCP): the venue cancels every derivative order of an account once each private connection that subscribed to it
(`account_stream.DEAD_MAN_TOPIC`) is gone or silent for a window.

The venue enables it for institutional accounts, by hand; only then can the window be set. It is account-wide and is left as it is at the end.
Source: the venue's pages "Set Disconnect Cancel All" and "Get DCP Info" (v5); windows of 3 to 300 s, and some ten seconds until everything is gone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from interlock.venues.bybit import sign
from interlock.venues.bybit.replies import ask, decoded, read
from interlock.venues.bybit.trade import Trade
from interlock.venues.port import Ask, Stamp, Talk
from interlock.venues.request import Key, Method, SignedCall

PRODUCT: Final = "DERIVATIVES"
SETS: Final = (Method.POST, "/v5/order/disconnected-cancel-all")
"""The one request that changes something; it can place, amend and cancel nothing."""


class _Info(msgspec.Struct, frozen=True):
    """{"product":"DERIVATIVES","dcpStatus":"ON","timeWindow":"10"}"""

    product: str
    dcpStatus: str
    timeWindow: str


class _Infos(msgspec.Struct, frozen=True):
    """{"dcpInfos":[...]}; empty where it is not enabled."""

    dcpInfos: list[_Info]


_decode_infos = msgspec.json.Decoder(_Infos).decode


def sign_switch(key: Key, asked: Ask, stamp: Stamp) -> SignedCall:
    """Sign what sets the window, or a read. Raises UsageError for anything else."""
    sign_it = sign.sign if (asked.call.method, asked.call.path) == SETS else sign.sign_read
    return sign_it(key, asked.call, timestamp_ms=stamp.timestamp_ms, receive_window_ms=stamp.receive_window_ms)


def set_window(window_s: int) -> Talk[None]:
    """Set the window of derivatives. Raises Refused where the venue has not enabled it, UsageError outside 3 to 300 s."""
    read((yield Trade({}).guard(window_s)))


def window_s() -> Talk[int]:
    """The window of derivatives that is in force, seconds; 0 where there is none."""
    found = decoded(_decode_infos, bytes(read((yield ask("/v5/account/query-dcp-info", "", "guard"))).result), "DCP info")
    mine = [one for one in found.dcpInfos if one.product == PRODUCT and one.dcpStatus == "ON"]
    whole = len(mine) == 1 and mine[0].timeWindow.isascii() and mine[0].timeWindow.isdecimal() and len(mine[0].timeWindow) <= 4
    return int(mine[0].timeWindow) if whole else 0
