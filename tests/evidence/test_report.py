import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.report_samples import ALL, START_NS, arbitrage, failing, making

from interlock.evidence.report import (
    VERDICTS,
    Count,
    Equity,
    Fills,
    Fragility,
    Inventory,
    KeyFigure,
    Markout,
    Origin,
    Part,
    PricePanel,
    ReportData,
    Table,
    World,
    render_report,
)
from interlock.evidence.report_axes import thin, thin_marks, time_ticks, value_range, value_ticks
from interlock.evidence.report_charts import Line, TimeChart
from interlock.evidence.report_numbers import clock, column_digits, duration, figure, fixed, money, utc
from interlock.evidence.report_style import STYLE


def tree(page: str) -> ElementTree.Element:
    head = "<!DOCTYPE html>\n"
    assert page.startswith(head)
    return ElementTree.fromstring(page.removeprefix(head))


def words(page: str) -> str:
    """All text of the page, tooltips included, white space made single."""
    return " ".join(" ".join(tree(page).find("body").itertext()).split())  # type: ignore[union-attr]


class References(HTMLParser):
    """Collects every element and attribute by which a page could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe", "object", "embed", "base", "audio", "video", "source", "use", "image", "form", "a"}:
            self.found.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "style"} or name.startswith("on"):
                self.found.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("sample", ALL.values(), ids=ALL.keys())
def test_a_report_is_one_well_formed_file_that_needs_nothing_else(sample: Callable[[], ReportData]) -> None:
    page = render_report(sample())
    tree(page)
    references = References()
    references.feed(page)
    assert references.found == []
    assert "://" not in page
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page
    assert page == render_report(sample())


@pytest.mark.parametrize("sample", ALL.values(), ids=ALL.keys())
def test_every_value_is_on_the_page(sample: Callable[[], ReportData]) -> None:
    data = sample()
    text = words(render_report(data))
    told = [data.title, data.run_id, data.summary, data.verdict, *data.verdict_reasons]
    told += [f"{f.label} {f.value}" for f in data.key_figures] + [f.note for f in data.key_figures] + [f.unit for f in data.key_figures]
    told += [w.name for w in data.fragility.worlds] + [money(w.net, data.currency, plus=True) for w in data.fragility.worlds if w.net]
    told += [f"{figure(b.value)} {b.unit}" if b.value is not None else "none in range" for b in data.fragility.break_evens]
    told += [part.name for part in data.parts] + [part.explanation for part in data.parts]
    told += [rate.name for rate in data.maker_rates] + [rate.source for rate in data.maker_rates]
    told += [f"{count.count:,}" for count in data.orders + data.refusals] + [count.meaning for count in data.orders + data.refusals]
    told += [part for fact in data.manifest for part in fact]
    told += [item.instrument for item in data.prices + data.inventories] + [item.pair for item in data.premiums]
    told += [utc(data.start_ns), utc(data.end_ns)]
    assert [text_of for text_of in told if text_of not in text] == []


def test_the_first_line_says_where_it_comes_from() -> None:
    text = words(render_report(failing()))
    assert text.startswith(
        "flow_venue binance_usdm fee_venue bybit latency_source Binance feed, assumed for Bybit provenance synthetic "
        "order flow and fees are of different venues synthetic data"
    )
    assert "different venues" not in words(render_report(making(60)))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_its_colour_and_sign(verdict: str) -> None:
    page = render_report(replace(making(60), verdict=verdict))
    card = next(e for e in tree(page).iter("section") if verdict.lower() in e.get("class", "").split())
    assert card.find(".//svg") is not None
    assert verdict in " ".join(card.itertext())
    assert f".{verdict.lower()}{{" in STYLE


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="verdict"):
        replace(making(60), verdict="GREAT")


def test_worlds_are_counted() -> None:
    assert "Positive in 6 of 7 worlds" in words(render_report(making(60)))
    assert "Positive in 3 of 6 worlds" in words(render_report(arbitrage()))
    assert World("x", Decimal(0)).positive is False
    assert World("x", None).positive is False


def test_parts_that_sum_say_so_and_others_too() -> None:
    fine = words(render_report(making(60)))
    assert "141.27 - 82.91 - 12.44 - 3.10 + 6.88 - 1.21 + 0.00 + 0.00 = +48.50 USDT" in fine.replace("\N{MINUS SIGN}", "-")
    assert "The parts sum to the net of the account." in fine
    broken = words(render_report(failing()))
    assert "do not add up: net is -48.19 USDT, off by -96.6889960002" in broken


BARE = ReportData(
    title="t",
    run_id="r",
    summary="s",
    origin=Origin("a", "a", "b", "real"),
    start_ns=START_NS,
    end_ns=START_NS,
    verdict="INSUFFICIENT",
    verdict_reasons=(),
    net=Decimal(0),
    currency="KRW",
    key_figures=(),
    fragility=Fragility((), ()),
)

TEXT = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>", "&amp;", "</title>", "'", "\x00\x1b", "\ud800", "\uffff", "-->"]
)


def with_texts(texts: list[str]) -> ReportData:
    t = iter(texts)
    ns = np.arange(3, dtype=np.int64) + START_NS
    values = np.array([1.0, 2.0, np.nan])
    fills = Fills(ns, values, values, np.array([True, False, True]), np.array([True, False, False]))
    venue = next(t)
    return replace(
        BARE,
        title=next(t),
        run_id=next(t),
        summary=next(t),
        origin=Origin(venue, venue, next(t), "a" + next(t)),
        verdict_reasons=(next(t),),
        currency=next(t),
        key_figures=(KeyFigure(next(t), next(t), next(t), next(t)),),
        fragility=Fragility((World(next(t), Decimal(1), 1, next(t)),), ()),
        inventories=(Inventory(next(t), next(t), ns, values),),
        prices=(PricePanel(next(t), next(t), next(t), ns, values, values, values, fills),),
        parts=(Part(next(t), Decimal(1), next(t)),),
        orders=(Count(next(t), 1, next(t)),),
        tables=(Table(next(t), ((next(t), next(t)),), ((next(t),),)),),
        manifest=((next(t), next(t)),),
    )


TEXTS = 29


@settings(max_examples=60)
@given(st.lists(TEXT, min_size=TEXTS, max_size=TEXTS))
def test_no_text_becomes_markup(texts: list[str]) -> None:
    page = render_report(with_texts(texts))
    page.encode("utf-8")
    plain = render_report(with_texts(["x" if text else "" for text in texts]))
    assert [e.tag for e in tree(page).iter()] == [e.tag for e in tree(plain).iter()]
    references = References()
    references.feed(page)
    assert references.found == []


@given(st.lists(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20), min_size=TEXTS, max_size=TEXTS))
def test_texts_arrive_as_they_were(texts: list[str]) -> None:
    shown = words(render_report(with_texts(texts)))
    assert [text for text in texts if text not in shown] == []


def test_a_bare_report_renders() -> None:
    text = words(render_report(BARE))
    assert "INSUFFICIENT" in text
    assert "No other world was tried." in text


def test_series_without_values_are_said_to_be_empty() -> None:
    none = np.zeros(0, np.int64)
    nothing = np.full(2, np.nan)
    ns = np.array([START_NS, START_NS + 1])
    page = render_report(
        replace(
            BARE,
            equity=Equity(none, np.zeros(0), "KRW"),
            inventories=(Inventory("i", "BTC", ns, nothing),),
            prices=(PricePanel("i", "KRW", "BTC", none, np.zeros(0), np.zeros(0), np.zeros(0)),),
            markouts=(Markout(1.0, float("nan"), None, 0),),
        )
    )
    assert words(page).count("No values to draw.") == 3
    assert "n/a" in words(page)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-12, 1e15, 91_500_000.0])
def test_a_series_that_stands_still_renders(value: float) -> None:
    tree(render_report(replace(BARE, equity=Equity(np.array([START_NS]), np.array([value]), "KRW"))))


def test_a_day_of_many_instruments_stays_small() -> None:
    random = np.random.default_rng(1)
    n = 86_400
    ns = START_NS + 1_000_000_000 * np.arange(n, dtype=np.int64)
    mid = 100 + np.cumsum(random.normal(0, 0.1, n))
    chosen = np.sort(random.integers(0, n, 40_000))
    fills = Fills(ns[chosen], mid[chosen], np.ones(40_000), random.random(40_000) > 0.5, random.random(40_000) > 0.1)
    panels = tuple(PricePanel(f"bybit:{i}", "USDT", "BTC", ns, mid, mid - 1, mid + 1, fills) for i in range(12))
    stock = tuple(Inventory(panel.instrument, "BTC", ns, mid) for panel in panels)
    page = render_report(replace(BARE, equity=Equity(ns, mid, "USDT"), prices=panels, inventories=stock))
    assert len(page.encode()) < 2_000_000
    assert "4 more of 12 are not drawn" in words(page)
    assert "40,000 fills, " in words(page)


def test_gaps_are_left_open() -> None:
    ns = START_NS + np.arange(5, dtype=np.int64) * 1_000_000_000
    chart = TimeChart("c", "u", [Line("a", ns, np.array([1.0, 2.0, np.nan, 3.0, 4.0]), "l1")]).svg()
    path = ElementTree.fromstring(chart).find("path[@class='line l1']")
    assert path is not None
    assert path.get("d", "").count("M") == 2
    assert "a: none" in chart


def test_arrays_that_do_not_fit_are_refused() -> None:
    ns = np.array([START_NS, START_NS + 1])
    with pytest.raises(ValueError, match="one length"):
        Equity(ns, np.zeros(3), "KRW")
    with pytest.raises(ValueError, match="do not decrease"):
        Equity(ns[::-1], np.zeros(2), "KRW")
    with pytest.raises(ValueError, match="int64"):
        Equity(ns.astype(np.float64), np.zeros(2), "KRW")
    with pytest.raises(ValueError, match="2 cells"):
        Table("t", (("a", ""), ("b", "")), ((1,),))


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=400), st.integers(4, 60), st.integers(0, 2**31))
def test_thinning_keeps_the_extremes_and_the_order(values: list[float], points: int, seed: int) -> None:
    series = np.array(values)
    ns = START_NS + np.cumsum(np.random.default_rng(seed).integers(0, 10**9, len(series)))
    kept_ns, kept = thin(ns, series, points)
    assert len(kept) <= max(points, 4) + 2
    assert np.all(np.diff(kept_ns) >= 0)
    assert kept_ns[0] == ns[0]
    assert kept_ns[-1] == ns[-1]
    if np.isfinite(series).any():
        assert np.nanmax(kept) == np.nanmax(series)
        assert np.nanmin(kept) == np.nanmin(series)
    assert set(kept[np.isfinite(kept)]) <= set(series)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 12))
def test_value_ticks_are_round_few_and_inside(low: float, size: float, about: int) -> None:
    low, high = value_range([np.array([low, low + size])], [])
    ticks, _ = value_ticks(low, high, about)
    assert 1 <= len(ticks) <= about + 2
    slack = size * 1e-6 + 4 * float(np.spacing(max(abs(low), abs(high))))
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.integers(0, 2 * 10**18), st.integers(1_000_000, 10**18))
def test_time_ticks_are_few_and_inside(start: int, span: int) -> None:
    ticks, step = time_ticks(start, start + span, 9)
    assert len(ticks) <= 10
    assert all(start <= tick <= start + span and tick % step == 0 for tick in ticks)


def test_marks_are_thinned_evenly() -> None:
    assert thin_marks(3, 5) == [0, 1, 2]
    chosen = thin_marks(1000, 5)
    assert (len(chosen), chosen[0], chosen[-1]) == (5, 0, 999)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (0.0, "0"),
        (1234, "1,234"),
        (1234567.891, "1,234,568"),
        (62_000.5, "62,000.50"),
        (41.0, "41"),
        (-0.5, "\N{MINUS SIGN}0.5"),
        (0.00001234, "0.00001234"),
        (1e-13, "0"),
        (Decimal("0.0001"), "0.0001"),
    ],
)
def test_figures_have_the_digits_they_deserve(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_amounts_times_and_lengths() -> None:
    assert fixed(-0.004, 2, plus=True) == "0.00"
    assert fixed(3, 1, plus=True) == "+3.0"
    assert money(Decimal("272500.4"), "KRW") == "272,500"
    assert money(Decimal("-0.00123"), "USDT") == "\N{MINUS SIGN}0.00123"
    assert column_digits([1.0, 2.0, None]) == 0
    assert column_digits([0.05, -0.34]) == 3
    assert utc(START_NS + 1_500_000, millis=True) == "2024-03-02 13:00:00.001"
    assert clock(START_NS, 60 * 10**9) == "13:00"
    assert clock(START_NS + 11 * 3600 * 10**9, 3600 * 10**9) == "Mar 3"
    assert clock(START_NS, 10**6) == "13:00:00.000"
    assert [duration(s * 10**9) for s in (0, 59, 60, 3661, 86_400, 90_000)] == ["0 s", "59 s", "1 min", "1 h 1 min", "1 d", "1 d 1 h"]


def luminance(colour: str) -> float:
    """Relative luminance as in WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_stand_out_in_light_and_dark() -> None:
    light, dark = STYLE.split("@media screen and (prefers-color-scheme:dark)")
    for sheet in (light, dark):
        colours = dict(re.findall(r"--([\w-]+):(#[0-9a-f]{6})", sheet))
        text = [("ink", "card"), ("soft", "card"), ("ink", "page"), ("soft", "page"), ("gain", "card"), ("loss", "card")]
        text += [(verdict.lower(), f"{verdict.lower()}-bg") for verdict in VERDICTS]
        text += [("ink", f"{verdict.lower()}-bg") for verdict in VERDICTS] + [("suspect", "page")]
        text += [("soft", f"{verdict.lower()}-bg") for verdict in VERDICTS]
        assert {
            pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in text if contrast(colours[pair[0]], colours[pair[1]]) < 4.5
        } == {}
        lines = [(name, "card") for name in ("c1", "c2", "c3", "c4", "midline", "netbar")]
        assert {
            pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in lines if contrast(colours[pair[0]], colours[pair[1]]) < 3
        } == {}
