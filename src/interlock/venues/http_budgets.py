"""How the three venues count what is asked over HTTP, from their `budgets`, in the words of `allowance`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from interlock.domain.clock import NS_PER_MS
from interlock.venues.allowance import Budgets, Told
from interlock.venues.binance_usdm import budgets as binance
from interlock.venues.budget import Cost, Limit
from interlock.venues.bybit import budgets as bybit
from interlock.venues.bybit.replies import left_alone_ms as bybit_left_alone_ms
from interlock.venues.port import Ask, Heard
from interlock.venues.trouble import Explained
from interlock.venues.upbit import budgets as upbit

_Declared = Mapping[str, tuple[int, int, str]]


def _limits(declared: _Declared) -> tuple[Limit, ...]:
    return tuple(Limit(name, most, interval_ms * NS_PER_MS) for name, (most, interval_ms, _) in declared.items())


def _cost(ask: Ask) -> Cost:
    return {ask.budget: ask.weight}


def _left(found: Mapping[str, int], declared: _Declared) -> Mapping[str, Told]:
    """From what is left. The whole interval is taken for the time in which it is forgotten: the venue tells no other."""
    return {name: Told(used=declared[name][0] - left, reset_in_ms=declared[name][1]) for name, left in found.items()}


# Upbit


def _upbit_told(_ask: Ask, heard: Heard, _venue_ms: int) -> Mapping[str, Told]:
    return _left(upbit.seen(heard.headers), upbit.BUDGETS)


def _upbit_left_alone_ms(heard: Heard, _explained: Explained) -> int:
    return upbit.wait_ms(heard.status, heard.headers)


# Binance


def _binance_told(_ask: Ask, heard: Heard, venue_ms: int) -> Mapping[str, Told]:
    """Its windows begin at whole multiples of their length, by its own clock."""
    windows = {name: interval_ms for name, (_, interval_ms, _) in binance.BUDGETS.items()}
    return {
        name: Told(used=used, reset_in_ms=windows[name] - venue_ms % windows[name]) for name, used in binance.seen(heard.headers).items()
    }


def _binance_left_alone_ms(heard: Heard, _explained: Explained) -> int:
    return binance.wait_ms(heard.status, heard.headers)


# Bybit


def _bybit_cost(ask: Ask) -> Cost:
    """Every request also counts against the address, a batch once."""
    return {bybit.IP: 1} if ask.budget == bybit.IP else {bybit.IP: 1, ask.budget: ask.weight}


def _bybit_told(ask: Ask, heard: Heard, _venue_ms: int) -> Mapping[str, Told]:
    return {} if ask.budget == bybit.IP else _left(bybit.seen(heard.headers, ask.budget), bybit.BUDGETS)


HTTP_BUDGETS: Final[Mapping[str, Budgets]] = {
    "upbit": Budgets(limits=_limits(upbit.BUDGETS), cost=_cost, told=_upbit_told, left_alone_ms=_upbit_left_alone_ms),
    "binance_usdm": Budgets(limits=_limits(binance.BUDGETS), cost=_cost, told=_binance_told, left_alone_ms=_binance_left_alone_ms),
    "bybit": Budgets(limits=_limits(bybit.BUDGETS), cost=_bybit_cost, told=_bybit_told, left_alone_ms=bybit_left_alone_ms),
}
"""By venue."""
