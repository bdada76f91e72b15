"""A seeded market whose price is put apart from the other venues' comes back by itself, and no other price moves with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.domain.clock import ManualClock
from interlock.domain.errors import UsageError
from interlock.simulate.served import bybit, upbit
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.house import House
from interlock.simulate.served.witness import Witness

BTC, ETH, THERE = ("upbit", "KRW-BTC"), ("upbit", "KRW-ETH"), ("bybit", "BTCUSDT")


def in_house(folder: Path, look: Callable[[House], None]) -> None:
    """Let two venues stand whose time passes only by `step`."""

    async def stand() -> None:
        clock = ManualClock(1_760_000_000_000_000_000)
        witness = Witness(clock, lambda _: None, lambda _: None, lambda *_: None)
        house = House(folder, clock, witness, paced=False, makers={"upbit": (upbit.make, upbit.rates), "bybit": (bybit.make, bybit.rates)})
        try:
            look(house)
        finally:
            await house.close()

    asyncio.run(stand())


def price(house: House, where: tuple[str, str]) -> float:
    bids, asks = house.faces[where[0]].venue.levels(where[1], 1)
    return (bids[0][0] + asks[0][0]) / 2


def test_a_price_that_is_put_apart_comes_back_and_no_other_moves(tmp_path: Path) -> None:
    def look(house: House) -> None:
        house.step()
        before = {where: price(house, where) for where in (BTC, ETH, THERE)}

        def moved_bps(where: tuple[str, str]) -> float:
            return 1e4 * (price(house, where) / before[where] - 1)

        house.step()
        assert abs(moved_bps(BTC)) < 5, "the control: by itself it does not"
        assert house.strike([FaultSpec(fault=Fault.DISLOCATE, venue="bybit", symbol="KRW-BTC", rate="-0.008")]) == [False]
        for rate in ("0.11", "-0.11", "much"):
            with pytest.raises(UsageError, match="rate: expected a"):
                house.strike([FaultSpec(fault=Fault.DISLOCATE, venue="upbit", symbol="KRW-BTC", rate=rate)])
        house.step()
        assert abs(moved_bps(BTC)) < 5, "what cannot be asked for moves nothing"
        assert house.strike([FaultSpec(fault=Fault.DISLOCATE, venue="upbit", symbol="KRW-BTC", rate="-0.008")]) == [True]
        house.step()
        assert moved_bps(BTC) == pytest.approx(-80, abs=5)
        assert abs(moved_bps(ETH)) < 5
        assert abs(moved_bps(THERE)) < 5
        for _ in range(100):
            house.step()
        assert moved_bps(BTC) == pytest.approx(-80 * 0.99**100, abs=10)

    in_house(tmp_path, look)
