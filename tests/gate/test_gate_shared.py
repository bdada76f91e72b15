"""A gate on an account that a person uses too, as processes: their orders in an unmanaged asset are written down and take room, others halt it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gate.serving import serving, until

from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover
from interlock.run.gate_launch import example_limits
from interlock.simulate.fake_venue.control import ForeignOrder, MoveBalance

ETH_BID = 250_000
"""The best bid of ETHUSDT at the venue, ticks of a cent; a lot of it is worth 25 USD."""


def shared_limits(folder: Path, assets: str = '["ETH"]') -> Path:
    text = example_limits().read_text(encoding="utf-8")
    sheet = folder / "limits.toml"
    sheet.write_text(
        text.replace('accounts = ["main"]', f'accounts = ["main"]\nshared = true\nunmanaged_assets = {assets}'), encoding="utf-8"
    )
    return sheet


def journaled(folder: str) -> list[r.Record]:
    found: list[r.Record] = []
    recover(SystemDisk(), Path(folder), schema=r.SCHEMA, consume=lambda _lsn, payload: found.append(r.decode(payload)))
    return found


def test_a_person_trades_beside_the_gate_and_takes_room_and_a_managed_asset_halts(tmp_path: Path) -> None:
    with serving(tmp_path / "gate", limits=shared_limits(tmp_path)) as gate:
        gate.armed()
        (shared,) = gate.report()["shared"]
        assert (shared["unmanaged_assets"], shared["theirs_usd"]) == (["ETH"], "0")
        assert "everybody" in shared["kill"]

        def theirs() -> float:
            return float(gate.report()["shared"][0]["theirs_usd"])

        order = ForeignOrder(venue="bybit", symbol="ETHUSDT", side=Side.BUY, ticks=ETH_BID - 50, lots=1, client_id="web-1")
        gate.tell(order)
        until(lambda: 24 < theirs() < 26)
        assert gate.intent(ticks=499_990, tif="ioc")[1]["result"] == "PERMIT"
        until(lambda: gate.report()["orders"]["live"] == 0)
        # An execution as well, with its fee from a balance that the gate does manage, and a coin that comes and goes.
        gate.tell(ForeignOrder(venue="bybit", symbol="ETHUSDT", side=Side.BUY, ticks=ETH_BID + 1, lots=1))
        gate.tell(MoveBalance(venue="bybit", kind="deposit", currency="ETH", amount="3"))
        until(lambda: 49 < theirs() < 51)
        stands = gate.stands()
        assert (stands.armed, stands.level, stands.report["latches"]) == (True, r.Level.RUN.value, [])
        assert stands.report["positions"] == []
        code, told = gate.intent(ticks=499_980, tif="ioc")
        assert (code, told["rule"]) == (1, "max_gross_notional_usd")
        assert [one.tolerated for one in journaled(gate.paths["journal"]) if isinstance(one, r.Foreign)][:1] == [True]
        kinds = {
            one.venue_id.partition(".")[0] for one in journaled(gate.paths["journal"]) if isinstance(one, r.LedgerEvent) and not one.actor
        }
        assert kinds == {"fill", "deposit"}

        gate.tell(ForeignOrder(venue="bybit", symbol="BTCUSDT", side=Side.BUY, ticks=400_000, lots=1, client_id="web-2"))
        until(lambda: gate.stands().level == r.Level.HALT.value)
        assert "foreign_activity" in {one["name"] for one in gate.report()["latches"]}
        # Until a person kills it, nobody but them touches their orders; a kill cancels everybody's.
        assert {"web-1", "web-2"} <= set(gate.open_at_venue())
        code, told = gate.kill()
        assert (code, told["result"]) == (0, "FINAL"), told
        assert gate.open_at_venue() == []
        assert gate.checked()[0] == 0


def test_the_phrase_of_the_ceremony_says_that_the_account_is_shared(tmp_path: Path) -> None:
    from tests.gate.serving import conditions

    from interlock.cli.gate_client import draw_nonce
    from interlock.gate import frames as f

    def begun(limits: Path | None, name: str) -> str:
        with serving(tmp_path / name, limits=limits) as gate:
            request = f.ArmBegin(
                conditions=conditions(),
                max_notional_usd="",
                lifetime_ns=10_000_000_000,
                mandate_ns=0,
                scripted=True,
                state_version=gate.stands().state_version,
                nonce=draw_nonce(),
                drill_symbol="bybit/BTCUSDT",
            )
            answer = gate.ask(f.Role.RAISE, request)
            assert isinstance(answer, f.Challenge), answer
            return answer.phrase

    assert "bybit/main (shared: a kill cancels everybody's orders) for" in begun(shared_limits(tmp_path), "shared")
    assert "bybit/main for" in begun(None, "own")


@pytest.mark.parametrize("asset", ["BTC", "USDT"])
def test_what_the_gate_trades_or_settles_in_cannot_be_left_to_others(tmp_path: Path, asset: str) -> None:
    sheet = shared_limits(tmp_path, f'["{asset}"]')
    said = f"expected none of what the gate trades, found {asset} of BTCUSDT"
    with pytest.raises(AssertionError, match=said), serving(tmp_path / "gate", limits=sheet):
        pass
