"""The configuration of a run: what is not right is one error that names the file and the key; what is right has one digest."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.evidence.manifest import digest_of
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_info import DepthInterval
from interlock.market.tape_write import write_tape
from interlock.run import replay
from interlock.run.config import RunConfig, load_config
from interlock.run.replay import Plan, make_plan
from interlock.strategies.arbitrage import ArbitrageParams
from interlock.strategies.making import MakingParams

EXAMPLES = sorted((Path(replay.__file__).parent / "examples").glob("*.toml"))

MAKING = """
name = "try"
tag = "try1"

[venues.binance_usdm]
order_latency_ms = 5.0
cancel_latency_ms = 5.0
response_latency_ms = 5.0
rate_limits = [{ messages = 300, window_s = 10.0, cancel_reserve = 30 }]
cash = "10000"

[instruments."binance_usdm:BTCUSDT"]
max_position_lots = 150
collar_bps = 50.0

[making]
instrument = "binance_usdm:BTCUSDT"

[making.params]
order_lots = 10
skew_bps = 1.5
"""

PAIRS = """
name = "try"
tag = "try1"

[venues.binance_usdm]
order_latency_ms = 5.0
cancel_latency_ms = 5.0
response_latency_ms = 5.0
rate_limits = "off"
cash = "10000"

[venues.upbit]
order_latency_ms = 5.0
cancel_latency_ms = 5.0
response_latency_ms = 5.0
rate_limits = "off"
cash = "10000000"

[instruments."binance_usdm:BTCUSDT"]
max_position_lots = 150
collar_bps = 50.0

[instruments."upbit:KRW-BTC"]
max_position_lots = 100_000_000
collar_bps = 50.0

[instruments."upbit:KRW-USDT"]
max_position_lots = 1
collar_bps = 50.0

[arbitrage]
fx_instrument = "upbit:KRW-USDT"
pairs = [{ spot = "upbit:KRW-BTC", perp = "binance_usdm:BTCUSDT", trade_lots = 10 }]

[arbitrage.params]
entry_edge_bps = 5.0
"""

BTC = ("binance_usdm:BTCUSDT",)
THREE = ("binance_usdm:BTCUSDT", "upbit:KRW-BTC", "upbit:KRW-USDT")


@pytest.fixture(scope="module")
def tape_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Tape]:
    """Make a tape of these instruments, with one trade each."""

    def make(*keys: str) -> Tape:
        instruments: list[Instrument] = [SHIPPED[key] for key in sorted(keys)]
        rows = np.zeros(len(instruments), ROW)
        rows["exchange_ns"] = rows["receive_ns"] = 1_700_000_000 * 10**9
        rows["instrument"] = range(len(instruments))
        rows["kind"], rows["side"], rows["lots"] = RowKind.TRADE, 1, 1
        rows["ticks"] = [instrument.ticks(Decimal(1_000)) for instrument in instruments]
        return Tape.open(write_tape(tmp_path_factory.mktemp("tape") / "tape", rows, instruments, "synthetic"))

    return make


def written(folder: Path, text: str) -> Path:
    path = folder / "try.toml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, f"{old!r} is not in the text"
    return text.replace(old, new, 1)


def refused(path: Path, tape: Tape | None = None) -> BadInput:
    """The one error that a configuration gives, which must name its file."""

    def use() -> None:
        config = load_config(path)
        if tape is not None:
            make_plan(config, path, tape)

    with pytest.raises(BadInput) as error:
        use()
    assert error.value.file == str(path)
    assert error.value.exit_code == 2
    assert str(path) in str(error.value)
    return error.value


def plan(path: Path, tape: Tape) -> Plan:
    return make_plan(load_config(path), path, tape)


class TestWhatIsRight:
    def test_the_texts_of_these_tests_load_and_make_plans(self, tmp_path: Path, tape_of: Callable[..., Tape]) -> None:
        made = plan(written(tmp_path, MAKING), tape_of(*BTC))
        assert made.strategy.name == "making"
        assert made.strategy.params.tolist() == MakingParams(order_lots=10, skew_bps=1.5).pack().tolist()
        made = plan(written(tmp_path, PAIRS), tape_of(*THREE))
        assert (made.strategy.name, made.pairs) == ("arbitrage", ((1, 0),))
        own = ArbitrageParams(fx_instrument=2, entry_edge_bps=5.0).pack().tolist()
        assert made.strategy.params.tolist() == [*own, 1.0, 0.0, 10.0, 0.0, 0.0]

    def test_units_arrive_as_the_replay_wants_them(self, tmp_path: Path, tape_of: Callable[..., Tape]) -> None:
        settings = plan(written(tmp_path, MAKING), tape_of(*BTC)).settings
        venue = settings.venues["binance_usdm"]
        assert (venue.order_ns, venue.cash) == (5_000_000, Decimal(10_000))
        assert (venue.budgets[0].messages, venue.budgets[0].window_ns, venue.budgets[0].cancel_reserve) == (300, 10**10, 30)
        assert settings.instruments["binance_usdm:BTCUSDT"].collar_millionths == 5_000

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_a_shipped_example_loads_and_makes_a_plan(self, path: Path, tape_of: Callable[..., Tape]) -> None:
        config = load_config(path)
        assert path.stem == config.name
        assert plan(path, tape_of(*config.instruments)).strategy.name in ("making", "arbitrage")

    def test_there_is_an_example_of_each_strategy(self) -> None:
        configs = [load_config(path) for path in EXAMPLES]
        assert any(config.making for config in configs)
        assert any(config.arbitrage for config in configs)


LIVE = """
[live]
limits = "limits.toml"
strategy = "making"
"""
EDGE = """
[edge]
threshold_bps = "-0.5"
horizon_s = 5
window_fills = 50
least_fills = 20
"""


class TestWhatIsNot:
    @pytest.mark.parametrize(
        ("old", "new", "place", "says"),
        [
            ('name = "try"', 'name = "try"\nmode = "live"', "mode", "unknown key"),
            ("collar_bps = 50.0", "collar_bps = 50.0\ncollar = 1", "instruments.binance_usdm:BTCUSDT.collar", "unknown key"),
            ("order_latency_ms = 5.0\n", "", "venues.binance_usdm.order_latency_ms", "required"),
            ('tag = "try1"\n', "", "tag", "required"),
            ('tag = "try1"', 'tag = "TRY!"', "tag", "pattern"),
            ('cash = "10000"', "cash = 10000.0", "venues.binance_usdm.cash", 'write amounts as text to keep them exact: "10000.0"'),
            ('cash = "10000"', 'cash = "-1"', "venues.binance_usdm.cash", "greater than or equal to 0"),
            ('cash = "10000"', 'cash = "much"', "venues.binance_usdm.cash", "'much'"),
            ("max_position_lots = 150", "max_position_lots = 0", "instruments.binance_usdm:BTCUSDT.max_position_lots", "greater than 0"),
            ("max_position_lots = 150", "max_position_lots = 1.5", "instruments.binance_usdm:BTCUSDT.max_position_lots", "integer"),
            ("order_latency_ms = 5.0", "order_latency_ms = nan", "venues.binance_usdm.order_latency_ms", "finite"),
            ("skew_bps = 1.5", "skew_bps = inf", "making.params.skew_bps", "finite"),
            ("skew_bps = 1.5", 'skew_bps = "wide"', "making.params.skew_bps", "number"),
            ("cancel_reserve = 30", "cancel_reserve = 300", "venues.binance_usdm.rate_limits", "cancel_reserve"),
            ("window_s = 10.0", "window_s = 0.0", "venues.binance_usdm.rate_limits", "greater than 0"),
            ("[{ messages = 300, window_s = 10.0, cancel_reserve = 30 }]", "[]", "venues.binance_usdm", "rate_limits"),
            ("[{ messages = 300, window_s = 10.0, cancel_reserve = 30 }]", '"of"', "venues.binance_usdm.rate_limits", "'off'"),
        ],
    )
    def test_a_key_or_value(self, tmp_path: Path, old: str, new: str, place: str, says: str) -> None:
        error = refused(written(tmp_path, changed(MAKING, old, new)))
        assert error.place == place or error.place.startswith(f"{place}.")
        assert says in error.problem

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ('"-0.5"', "-0.5", "write amounts as text"),
            ('"-0.5"', '"0.00001"', "4 decimal places"),
            ('"-0.5"', '"NaN"', "finite"),
            ("horizon_s = 5", "horizon_s = 0", "greater than 0"),
            ("least_fills = 20", "least_fills = 51", "at most window_fills"),
            ("least_fills = 20\n", "", "required"),
            ("least_fills = 20", "least_fills = 20\nfills = 1", "unknown key"),
            (LIVE, "", "expected the sections [making] and [live]"),
        ],
    )
    def test_an_edge_that_is_not_wholly_said_or_not_measured(self, tmp_path: Path, old: str, new: str, says: str) -> None:
        text = MAKING + LIVE + EDGE
        found = load_config(written(tmp_path, text))
        assert found.edge is not None
        assert found.edge.threshold_bps == Decimal("-0.5")
        assert says in refused(written(tmp_path, changed(text, old, new))).problem

    def test_several_are_counted(self, tmp_path: Path) -> None:
        text = changed(changed(MAKING, 'tag = "try1"\n', ""), "collar_bps = 50.0\n", "")
        assert "(and 1 more)" in refused(written(tmp_path, text)).problem

    def test_both_strategies_or_none(self, tmp_path: Path) -> None:
        both = MAKING + '\n[arbitrage]\npairs = [{ spot = "a", perp = "b", trade_lots = 1 }]\n'
        neither = MAKING[: MAKING.index("[making]")]
        for text in (both, neither):
            assert "exactly one of the sections [making] and [arbitrage]" in refused(written(tmp_path, text)).problem

    @pytest.mark.parametrize("text", ["name = ", "[venues", MAKING + '\n[making]\ninstrument = "twice"\n', 'name = "a"\nname = "b"\n'])
    def test_text_that_is_no_toml(self, tmp_path: Path, text: str) -> None:
        assert "expected TOML" in refused(written(tmp_path, text)).problem

    def test_a_file_that_is_not_there_not_text_or_a_folder(self, tmp_path: Path) -> None:
        assert "found none" in refused(tmp_path / "nothing.toml").problem
        binary = tmp_path / "binary.toml"
        binary.write_bytes(b"name = '\xff'")
        assert "text file" in refused(binary).problem
        assert "text file" in refused(tmp_path).problem

    @pytest.mark.parametrize(
        ("old", "new", "place", "says"),
        [
            ("skew_bps = 1.5", "skew = 1.5", "making.params.skew", "unknown parameter; known are order_lots,"),
            ("skew_bps = 1.5", "skew_bps = -1.5", "making.params", "skew_bps >= 0"),
            ("order_lots = 10", "order_lots = 0", "making.params", "order_lots > 0"),
            (
                'instrument = "binance_usdm:BTCUSDT"',
                'instrument = "binance_usdm:ETHUSDT"',
                "making.instrument",
                "none of the instruments here",
            ),
            ('[instruments."binance_usdm:BTCUSDT"]', '[instruments."bybit:BTCUSDT"]', "instruments.bybit:BTCUSDT", "does not hold"),
            ("[venues.binance_usdm]", "[venues.binance]", "venues", "'binance_usdm'"),
        ],
    )
    def test_what_the_tape_or_making_refuses(
        self, tmp_path: Path, tape_of: Callable[..., Tape], old: str, new: str, place: str, says: str
    ) -> None:
        error = refused(written(tmp_path, changed(MAKING, old, new)), tape_of(*BTC))
        assert error.place == place
        assert says in error.problem

    @pytest.mark.parametrize(
        ("old", "new", "place", "says"),
        [
            ("entry_edge_bps = 5.0", "fx_instrument = 2", "arbitrage.params.fx_instrument", "unknown parameter"),
            ("entry_edge_bps = 5.0", "take_profit_bps = 0", "arbitrage.params", "does not switch an exit off"),
            ('fx_instrument = "upbit:KRW-USDT"', 'fx_instrument = "upbit:USDT"', "arbitrage.fx_instrument", "none of the instruments here"),
            ('fx_instrument = "upbit:KRW-USDT"\n', "", "arbitrage", "leaves out the pair being judged"),
            ('spot = "upbit:KRW-BTC"', 'spot = "upbit:KRW-ETH"', "arbitrage.pairs.0.spot", "none of the instruments here"),
            ('perp = "binance_usdm:BTCUSDT"', 'perp = "upbit:KRW-USDT"', "arbitrage.pairs.0", "perpetual"),
            ('spot = "upbit:KRW-BTC"', 'spot = "upbit:KRW-USDT"', "arbitrage.pairs.0", "not one coin: USDT and BTC"),
        ],
    )
    def test_what_the_tape_or_arbitrage_refuses(
        self, tmp_path: Path, tape_of: Callable[..., Tape], old: str, new: str, place: str, says: str
    ) -> None:
        error = refused(written(tmp_path, changed(PAIRS, old, new)), tape_of(*THREE))
        assert error.place == place
        assert says in error.problem

    def test_a_tape_that_holds_more_than_the_configuration_knows(self, tmp_path: Path, tape_of: Callable[..., Tape]) -> None:
        error = refused(written(tmp_path, MAKING), tape_of(*BTC, "binance_usdm:ETHUSDT"))
        assert error.place == "instruments"
        assert "binance_usdm:ETHUSDT" in error.problem

    def test_making_on_a_tape_of_two(self, tmp_path: Path, tape_of: Callable[..., Tape]) -> None:
        second = '[instruments."binance_usdm:ETHUSDT"]\nmax_position_lots = 1\ncollar_bps = 1.0\n\n[making]'
        error = refused(written(tmp_path, changed(MAKING, "[making]", second)), tape_of(*BTC, "binance_usdm:ETHUSDT"))
        assert error.place == "making.instrument"

    @pytest.mark.parametrize(
        ("fees", "says"),
        [
            ({"as_of": "yesterday"}, "yesterday"),
            ({"maker": "-0.0001", "condition": "none"}, "programme"),
            ({"taker": "-0.0001"}, "taker"),
            ({"maker": 0.0002}, "write amounts as text"),
        ],
    )
    def test_fees(self, tmp_path: Path, tape_of: Callable[..., Tape], fees: dict[str, Any], says: str) -> None:
        given = {"profile": "vip", "maker": "-0.0001", "taker": "0.0004", "source": "a letter", "as_of": "2026-01-01", "condition": "vip 9"}

        def text(values: dict[str, Any]) -> str:
            lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in values.items()]
            return "\n".join([MAKING, '[instruments."binance_usdm:BTCUSDT".fees]', *lines, ""])

        tape = tape_of(*BTC)
        assert plan(written(tmp_path, text(given)), tape).instruments[0].fees.maker == Decimal("-0.0001")
        error = refused(written(tmp_path, text(given | fees)), tape)
        assert error.place.startswith("instruments.binance_usdm:BTCUSDT.fees")
        assert says in error.problem


def sections(text: str) -> list[str]:
    """The text cut before each section; keys that stand before the first section are the first piece."""
    pieces = [""]
    for line in text.splitlines(keepends=True):
        if line.startswith("["):
            pieces.append("")
        pieces[-1] += line
    return pieces


def digest(config: RunConfig) -> str:
    return digest_of(config.canonical())


class TestDigest:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_it_does_not_depend_on_comments_or_order(self, path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        text = path.read_text(encoding="utf-8")
        top, *others = sections(text)
        folder = tmp_path_factory.mktemp("digest")

        @given(st.permutations(top.splitlines(keepends=True)), st.permutations(others), st.text("abc #=[]\"'", max_size=20))
        def check(keys: list[str], pieces: list[str], comment: str) -> None:
            again = "".join(f"# {comment}\n{piece}" for piece in ["".join(keys), *pieces])
            assert digest(load_config(written(folder, again))) == digest(load_config(path))

        check()

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('cash = "10000"', 'cash = "10001"'),
            ("skew_bps = 1.5", "skew_bps = 1.6"),
            ("messages = 300", "messages = 299"),
            ('tag = "try1"', 'tag = "try2"'),
            ('tag = "try1"', 'tag = "try1"\nseed = 2'),
        ],
    )
    def test_it_depends_on_every_value(self, tmp_path: Path, old: str, new: str) -> None:
        before = digest(load_config(written(tmp_path, MAKING)))
        assert digest(load_config(written(tmp_path, changed(MAKING, old, new)))) != before

    def test_an_edge_is_part_of_it_and_none_leaves_it_as_it_was(self, tmp_path: Path) -> None:
        live = load_config(written(tmp_path, MAKING + LIVE))
        assert "edge" not in live.canonical()
        edge = digest(load_config(written(tmp_path, MAKING + LIVE + EDGE)))
        other = digest(load_config(written(tmp_path, MAKING + LIVE + changed(EDGE, "horizon_s = 5", "horizon_s = 6"))))
        assert len({digest(live), edge, other}) == 3

    def test_a_default_that_is_written_out_changes_nothing(self, tmp_path: Path) -> None:
        before = digest(load_config(written(tmp_path, MAKING)))
        text = changed(MAKING, 'tag = "try1"', 'tag = "try1"\nseed = 1')
        assert digest(load_config(written(tmp_path, text))) == before
        assert digest(load_config(written(tmp_path, changed(MAKING, "order_latency_ms = 5.0", "order_latency_ms = 5")))) == before


@pytest.mark.parametrize(
    ("declared_ms", "measured_ms", "fits"), [(100, 52.0, True), (0, 100.1, False), (250, None, False), (None, None, False)]
)
def test_a_queue_model_needs_depth_at_100_ms(
    declared_ms: int | None, measured_ms: float | None, fits: bool, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = np.zeros(1, ROW)
    rows["exchange_ns"] = rows["receive_ns"] = 1_700_000_000 * 10**9
    rows["ticks"], rows["lots"], rows["side"] = 600_000, 1, 1
    interval = {BTC[0]: DepthInterval(declared_ms=declared_ms, measured_ms=measured_ms)}
    folder = tmp_path_factory.mktemp("tape") / "tape"
    with Tape.open(write_tape(folder, rows, [SHIPPED[BTC[0]]], "real", depth_interval_ms=interval)) as tape:
        path = written(tmp_path, MAKING)
        if fits:
            plan(path, tape)
        else:
            assert refused(path, tape).place == "model.queue"
        # Without a queue model any depth will do.
        plan(written(tmp_path, MAKING + '\n[model]\nqueue = "trade_through"\n'), tape)
