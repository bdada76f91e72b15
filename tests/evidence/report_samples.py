"""Made-up runs of both strategies, for looking at reports and for their tests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np

from interlock.evidence.report import (
    BreakEven,
    Count,
    Equity,
    Fills,
    Fragility,
    Inventory,
    KeyFigure,
    MakerRate,
    Markout,
    Origin,
    Part,
    PremiumPanel,
    PricePanel,
    ReportData,
    Table,
    World,
)

START_NS = 1_709_384_400_000_000_000
SECOND = 1_000_000_000

FACTS = (
    ("manifest_schema", "1"),
    ("mode", "replay"),
    ("endpoints", "none"),
    ("config_digest", "5f2c9a0e" * 8),
    ("code.version", "0.1.0"),
    ("code.git_commit", "8d1f" * 10),
    ("code.git_dirty", "no"),
    ("machine.python", "CPython 3.11.7"),
    ("machine.numba", "0.68.1"),
    ("machine.cpu", "generic"),
    ("tapes.1.name", "bybit-btcusdt-2024-03-02"),
    ("tapes.1.sha256", "c0ffee00" * 8),
    ("seed", "7"),
    ("model.queue_model", "risk_averse"),
    ("model.rate_limits", "on"),
    ("model.fees.bybit:BTCUSDT.condition", "market maker programme, tier 2"),
)


def making(seconds: int = 7200, seed: int = 3) -> ReportData:
    """A PASS of the making strategy with `seconds` samples, a second apart."""
    random = np.random.default_rng(seed)
    ns = START_NS + SECOND * np.arange(seconds, dtype=np.int64)
    mid = 62_000 + np.cumsum(random.normal(0, 2.0, seconds))
    quoting = np.repeat(random.random(seconds // 60 + 1) > 0.06, 60)[:seconds]
    bid = np.where(quoting, np.round(mid - 4 - random.random(seconds) * 3, 1), np.nan)
    ask = np.where(quoting, np.round(mid + 4 + random.random(seconds) * 3, 1), np.nan)
    n = seconds // 9
    at = np.sort(random.choice(np.flatnonzero(quoting), n, replace=False))
    buys = random.random(n) > 0.5
    maker = random.random(n) > 0.08
    quantity = np.round(0.001 + random.random(n) * 0.02, 3)
    fills = Fills(ns[at] + 350_000_000, np.where(buys, bid[at], ask[at]), quantity, buys, maker)
    position = np.zeros(seconds)
    np.add.at(position, at, np.where(buys, quantity, -quantity))
    position = np.cumsum(position)
    equity = np.cumsum(random.normal(0.0062, 0.21, seconds))
    parts = (
        Part("Spread capture", Decimal("141.271843"), "Distance of our fills from the mid at that moment."),
        Part("Markout, 5 s", Decimal("-82.905118"), "Move of the mid in the 5 s after each fill."),
        Part("Inventory", Decimal("-12.440012"), "Move of the mid after those 5 s, until the end."),
        Part("Fees", Decimal("-3.102217"), "Taker fees of closing orders."),
        Part("Rebates", Decimal("6.881500"), "Maker rebates of the named programme."),
        Part("Funding", Decimal("-1.207000"), "Paid on what was held at settlements."),
        Part("FX", Decimal("0"), "No currency was converted."),
        Part("Residual", Decimal("0.0000000002"), "What the parts do not explain; below 1e-9."),
    )
    net = sum((part.value for part in parts), Decimal(0))
    worlds = (
        World("As run", net, 412, base=True),
        World("Fee + 1 bp", Decimal("12.31"), 412, "maker and taker"),
        World("Latency x 2", Decimal("22.87"), 371),
        World("Latency x 4", Decimal("-6.20"), 330),
        World("Power queue model", Decimal("71.44"), 498),
        World("Base maker rate (no programme)", Decimal("18.02"), 412),
        World("Half the fills", Decimal("20.11"), 208),
    )
    return ReportData(
        title="Market making, BTCUSDT on Bybit",
        run_id="20240302T130000-making-5f2c9a0e",
        summary="Strategy making, bybit:BTCUSDT, risk-averse queue, replay of one recorded tape",
        origin=Origin("bybit", "bybit", "measured on this tape's feed", "real"),
        start_ns=int(ns[0]),
        end_ns=int(ns[-1]),
        verdict="PASS",
        verdict_reasons=("412 round trips.", "Positive in every world but one.", "No limit was breached and no invariant broken."),
        net=net,
        currency="USDT",
        key_figures=(
            KeyFigure("Net", "+48.50", "USDT", "liquidation value, all costs"),
            KeyFigure("Round trips", "412", "", "FIFO quantity matched to flat"),
            KeyFigure("Win rate", "54.1", "%", "95 % interval 49.3 to 58.9"),
            KeyFigure("Largest drawdown", "18.92", "USDT", "from 1 s marks"),
            KeyFigure("Fees paid", "3.10", "USDT", "taker"),
            KeyFigure("Rebates", "6.88", "USDT", "maker programme, per fill"),
            KeyFigure("Funding", "-1.21", "USDT", "one settlement crossed"),
            KeyFigure("Maker share", "92.3", "%", "of filled quantity"),
            KeyFigure("Time quoting", "94.0", "%", "both sides in the book"),
            KeyFigure("Capital employed", "25,000", "USDT", "idle margin included"),
        ),
        fragility=Fragility(
            worlds,
            (
                BreakEven("Maker rate", 0.82, "bp", "the run's profile has -0.10 bp"),
                BreakEven("Added latency", 41.0, "ms", "each direction, over the run's"),
                BreakEven("FX error", None, "%", "nothing was converted"),
            ),
        ),
        equity=Equity(ns, equity, "USDT"),
        inventories=(Inventory("bybit:BTCUSDT", "BTC", ns, position),),
        prices=(PricePanel("bybit:BTCUSDT", "USDT", "BTC", ns, mid, bid, ask, fills),),
        parts=parts,
        maker_rates=(
            MakerRate("Base", 2.0, Decimal("33.20"), Decimal("18.02"), "VIP 0, no programme"),
            MakerRate("Profile", -0.1, Decimal("-3.78"), net, "market maker programme, 2024-02-20"),
            MakerRate("Zero", 0.0, Decimal("3.10"), Decimal("41.62"), "for comparison"),
        ),
        markouts=tuple(
            Markout(h, m, e, n)
            for h, m, e in ((0.1, -0.05, 0.02), (1.0, -0.21, 0.05), (5.0, -0.34, 0.09), (30.0, -0.30, 0.2), (300.0, -0.1, 0.61))
        ),
        orders=(Count("filled", 801), Count("cancelled", 12_904, "by us, before any fill"), Count("rejected", 31), Count("open at end", 2)),
        refusals=(
            Count("post_only", 24, "would have traded at once"),
            Count("rate_budget", 7, "our own budget was used up"),
            Count("collar", 2, "too far from the reference price"),
        ),
        manifest=FACTS,
    )


def arbitrage(seed: int = 5, minutes: int = 1440) -> ReportData:
    """A SUSPECT of the arbitrage strategy over `minutes` samples, a minute apart."""
    random = np.random.default_rng(seed)
    step = 10 * SECOND
    count = minutes * 6
    ns = START_NS + step * np.arange(count, dtype=np.int64)
    shock = random.normal(0, 3.0, count)
    premium = np.empty(count)
    level = 120.0
    for i in range(count):
        level += (118 - level) * 0.004 + shock[i]
        premium[i] = level
    premium[3000:3200] = np.nan
    entries, exits, held = [], [], False
    for i, value in enumerate(premium):
        if not held and value > 170:
            entries.append(i)
            held = True
        elif held and value < 125:
            exits.append(i)
            held = False
    position = np.zeros(count)
    for i in entries:
        position[i:] += 0.8
    for i in exits:
        position[i:] -= 0.8
    equity = np.repeat(0.0, count)
    for i in exits:
        equity[i:] += 31_000 + 4000 * random.normal()
    equity += position * random.normal(0, 600, count)
    mid = 91_500_000 + np.cumsum(random.normal(0, 9000, count))
    nothing = np.full(count, np.nan)
    sides = np.array(sorted([(i, True) for i in entries] + [(i, False) for i in exits]))
    index, buys = sides[:, 0], sides[:, 1].astype(np.bool_)
    fills = Fills(ns[index], mid[index], np.full(len(index), 0.8), buys, np.zeros(len(index), np.bool_))
    parts = (
        Part("Premium captured", Decimal("612400"), "Exit premium less entry premium, at decision prices."),
        Part("Slippage, Upbit leg", Decimal("-61200"), "Fill against the price of the decision."),
        Part("Slippage, Binance leg", Decimal("-22100"), "Fill against the price of the decision."),
        Part("Latency", Decimal("-18450"), "Decision to the mid at arrival."),
        Part("Fees", Decimal("-231900"), "Upbit 5 bp, Binance 4 bp, taker both."),
        Part("Funding", Decimal("9050"), "Received on the short perpetual."),
        Part("FX", Decimal("-14800"), "Change of the KRW/USDT exposure."),
        Part("Hedge residual", Decimal("-500"), "Rounding of the hedge to lots."),
        Part("Residual", Decimal("0"), "What the parts do not explain."),
    )
    net = sum((part.value for part in parts), Decimal(0))
    return ReportData(
        title="Kimchi premium, BTC: Upbit spot against Binance perpetual",
        run_id="20240302T130000-arbitrage-0badc0de-2",
        summary="Strategy arbitrage, upbit:KRW-BTC and binance_usdm:BTCUSDT, premium in KRW at the executable rate",
        origin=Origin("upbit, binance_usdm", "upbit, binance_usdm", "assumed: 25 ms constant", "constructed"),
        start_ns=int(ns[0]),
        end_ns=int(ns[-1]),
        verdict="SUSPECT",
        verdict_reasons=(
            "The win rate's 95 % lower bound is 0.86 on 24 trips; over 0.80 needs an explanation.",
            "The sign of net flips with latency doubled.",
            "62 % of the profit comes from one hour (2024-03-02 17:00 UTC).",
        ),
        net=net,
        currency="KRW",
        key_figures=(
            KeyFigure("Net", "+272,500", "KRW", "about 187 USDT at 1,456.20 KRW/USDT, Upbit, 2024-03-03 12:59:50 UTC"),
            KeyFigure("Round trips", "24", "", "both legs closed"),
            KeyFigure("Win rate", "95.8", "%", "95 % interval 79.8 to 99.3"),
            KeyFigure("Largest drawdown", "41,870", "KRW"),
            KeyFigure("Fees paid", "231,900", "KRW"),
            KeyFigure("Funding", "+9,050", "KRW", "three settlements crossed"),
            KeyFigure("Maker share", "0.0", "%"),
            KeyFigure("Inventory blocked", "12.4", "%", "of the time no spot was left to sell"),
        ),
        fragility=Fragility(
            (
                World("As run", net, 24, base=True),
                World("Fee + 1 bp each leg", Decimal("31200"), 22),
                World("Latency x 2", Decimal("-18400"), 21, "the sign flips"),
                World("FX + 0.1 %", Decimal("-96100"), 19),
                World("FX - 0.1 %", Decimal("402000"), 29),
                World("Trade-through fills only", None, None, "ended by liquidation"),
            ),
            (BreakEven("Fee, both legs", 1.13, "bp"), BreakEven("Latency", 44.0, "ms"), BreakEven("FX error", 0.071, "%")),
        ),
        equity=Equity(ns, equity, "KRW"),
        inventories=(
            Inventory("upbit:KRW-BTC", "BTC", ns, position),
            Inventory("binance_usdm:BTCUSDT", "BTC", ns, -position),
        ),
        prices=(PricePanel("upbit:KRW-BTC", "KRW", "BTC", ns, mid, nothing, nothing, fills),),
        premiums=(
            PremiumPanel(
                "KRW-BTC / BTCUSDT",
                ns,
                premium,
                ns[entries],
                premium[entries],
                ns[exits],
                premium[exits],
                (("entry threshold", 170.0), ("expected exit", 125.0)),
            ),
        ),
        parts=parts,
        orders=(Count("filled", 94), Count("expired", 3, "immediate-or-cancel, nothing there")),
        refusals=(Count("stale_book", 11, "a leg's book was older than 500 ms"), Count("fx_age", 4, "the executable rate was too old")),
        tables=(
            Table(
                "Realised against expected edge",
                (("Decile of expected edge", ""), ("Trips", ""), ("Expected", "bp"), ("Realised", "bp")),
                tuple((f"{i + 1}", 2 + i % 2, 8.0 + 4.1 * i, 3.0 + 4.4 * i if i else None) for i in range(10)),
                "Without skill the right column would not rise.",
            ),
        ),
        manifest=FACTS,
    )


def failing() -> ReportData:
    """A short FAIL, flow of one venue and fees of another, with parts that do not add up."""
    data = making(seconds=900, seed=11)
    return replace(
        data,
        title="Market making, BTCUSDT: Binance flow, Bybit fees",
        origin=Origin("binance_usdm", "bybit", "Binance feed, assumed for Bybit", "synthetic"),
        verdict="FAIL",
        verdict_reasons=("Net is -48.19 USDT, at or below zero.", "The position limit was breached 2 times."),
        net=Decimal("-48.19"),
        fragility=Fragility((World("As run", Decimal("-48.19"), 40, base=True),), ()),
    )


ALL = {"making": making, "arbitrage": arbitrage, "failing": failing}
