"""Three simulated days of an honest account: trades, funding, a deposit, an airdrop, fees in a third asset. Nothing halts, nothing is unexplained."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from tests.gate.gate_life import S, sheet_for
from tests.gate.gate_machine import World
from tests.gate.order_records import ACCOUNT

from interlock.domain.orders import Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.money_watch import transfer_latches
from interlock.simulate.fake_venue.control import MoveBalance

HOUR_NS = 3_600 * S


def announced(world: World, amount: str) -> None:
    life = world.alive
    now = life.now()
    notice = r.LedgerExpected(
        boot_ns=now.boot_ns,
        kind=r.LedgerKind.DEPOSIT,
        venue=world.venue,
        account=ACCOUNT,
        currency="USDT",
        amount=Decimal(amount),
        until_wall_ns=now.wall_ns + HOUR_NS,
        actor="ann",
        nonce="e" * 32,
    )
    life.take(notice)


def books(world: World, kind: str, currency: str, amount: str, symbol: str = "") -> None:
    world.command(MoveBalance(venue=world.venue, kind=kind, currency=currency, amount=amount, symbol=symbol))


@pytest.mark.parametrize("told", [True, False])
def test_three_days_with_all_that_happens_to_an_account(tmp_path: Path, told: bool) -> None:
    verdicts = 0
    # What is charged in a third currency needs a limit of it, as in any file.
    plain = sheet_for("bybit")
    sheet = msgspec.structs.replace(plain, currencies={**plain.currencies, "BNB": plain.currencies["USDT"]})
    with World(tmp_path, sheet=sheet) as world:
        world.ready(lifetime_ns=24 * HOUR_NS)
        for hour in range(72):
            side = Side.BUY if hour % 2 == 0 else Side.SELL
            world.set_book(500_000 if side is Side.BUY else 500_040)  # every round trip gains, or else the streak would rightly stop it
            world.ready(lifetime_ns=24 * HOUR_NS)  # the host sleeps between, which disarms, and a person arms again
            world.place(side, away=-5, tif=TimeInForce.IOC)
            world.hear()
            if hour % 8 == 0:
                books(world, "funding", "USDT", "-0.0123", "BTCUSDT")
            if hour % 6 == 3:
                books(world, "fee", "BNB", "-0.00001")
            if hour == 20:
                if told:
                    announced(world, "500")
                books(world, "deposit", "USDT", "500")
            if hour == 40:
                books(world, "airdrop", "GIFT", "7")
            world.hear()
            found = world.reconcile()
            assert found is None or found.explained, found
            verdicts += found is not None
            state = world.alive.state
            late = transfer_latches(state, world.alive.now()._replace(wall_ns=world.alive.now().wall_ns + HOUR_NS))
            assert bool(late) is (hour >= 20 and not told), "only a deposit that nobody announced is a matter for a person"
            assert state.lattice.latches == ()
            world.wait(60 * S)
            world.network.advance(HOUR_NS - 60 * S)
            world.wait(S)
            world.move()
        assert verdicts > 30
        assert world.alive.state.orders.violations == []
        assert {flag for flag, _ in world.alive.state.ledger.flags} == set()
        world.finish()
