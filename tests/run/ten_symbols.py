"""A run on ten symbols of Upbit and Bybit, each an instrument of the engine, of the gate and of the paper venues: four coins on both sides, the
dollar of Upbit, by which a gate values won, and one coin more."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from interlock.simulate.served.listing import instruments_of

COINS = ("BTC", "ETH", "XRP", "SOL")
DOLLAR, ALONE = "upbit:KRW-USDT", "bybit:DOGEUSDT"
STRATEGY = "arbitrage"
VENUES = ("bybit", "upbit")
USD = {"BTC": 60_000, "ETH": 3_000, "XRP": 0.5, "SOL": 150}
"""Roughly, for sizes of some dollars."""


def symbols() -> list[str]:
    """The ten keys."""
    both = [f"{venue}:{symbol}" for coin in COINS for venue, symbol in (("upbit", f"KRW-{coin}"), ("bybit", f"{coin}USDT"))]
    return [*both, DOLLAR, ALONE]


def write_run(folder: Path) -> Path:
    """The configuration and its limits in a folder; the file of the configuration."""
    lots = {one.key: one for venue in VENUES for one in instruments_of(venue)}
    parts = [
        'name = "ten-symbols"',
        'tag = "ten1"',
        'universe_mode = "fixed_list"',
        "[live]",
        'limits = "limits-ten.toml"',
        f'strategy = "{STRATEGY}"',
    ]
    for venue, messages in (("upbit", 8), ("bybit", 100)):
        parts += [
            f"[venues.{venue}]",
            "order_latency_ms = 5.0",
            "cancel_latency_ms = 5.0",
            "response_latency_ms = 5.0",
            f"rate_limits = [{{ messages = {messages}, window_s = 1.0, cancel_reserve = 1 }}]",
            'cash = "30000000"',
        ]
    for key in symbols():
        parts += [f'[instruments."{key}"]', f"max_position_lots = {1 << 40}", "collar_bps = 500.0"]
    parts += ["[model]", "timer_ms = 1000.0", "[arbitrage]", "pairs = ["]
    for coin in COINS:
        perp = lots[f"bybit:{coin}USDT"]
        trade = max(1, round(10 / USD[coin] / float(perp.lot)))
        parts.append(f'    {{ spot = "upbit:KRW-{coin}", perp = "bybit:{coin}USDT", trade_lots = {trade} }},')
    parts += [
        "]",
        f'fx_instrument = "{DOLLAR}"',
        "[arbitrage.params]",
        "entry_edge_bps = -300.0",
        "time_limit_s = 20.0",
        "basis_samples = 30.0",
    ]
    config = folder / "ten.toml"
    config.write_text("\n".join(parts) + "\n", encoding="utf-8")
    (folder / "limits-ten.toml").write_text(_limits(), encoding="utf-8")
    return config


def _limits() -> str:
    """The shipped limits of the served venues, spread over the ten symbols."""
    text = (resources.files("interlock.gate") / "examples" / "limits_served.toml").read_text(encoding="utf-8")
    tables = ["[" + part for part in ("\n" + text).split("\n[")[1:]]
    kept = [one for one in tables if not one.startswith(("[symbols.", "[venues.binance_usdm]", "[assets.", "[strategies."))]
    for key in symbols():
        model = next(
            one for one in tables if one.startswith(f'[symbols."{"upbit:KRW-BTC" if key.startswith("upbit") else "bybit:BTCUSDT"}"]')
        )
        body = model.split("\n", 1)[1]
        for name in ("max_order_lots", "max_position_lots"):
            body = "\n".join(f"{name} = {1 << 40}" if line.startswith(f"{name} =") else line for line in body.split("\n"))
        kept.append(f'[symbols."{key}"]\n{body}')
    (asset,) = (one for one in tables if one.startswith("[assets.BTC]"))
    kept += [asset.replace("[assets.BTC]", f"[assets.{coin}]") for coin in (*COINS, "DOGE", "USDT")]
    (demo,) = (one for one in tables if one.startswith("[strategies.demo]"))
    kept.append(demo.replace("[strategies.demo]", f"[strategies.{STRATEGY}]"))
    return "\n".join(kept)
