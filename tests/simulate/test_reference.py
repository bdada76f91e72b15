"""The compiled model against a plain one that shares no code with it: the same fills, one by one, on the generated stream."""

import numpy as np
import pytest
from tests.simulate.reference import Reference
from tests.simulate.worlds import Rows, Setup, perpetual, venue_settings

from interlock.simulate.fast import replay_fast
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import InstrumentSettings, QueueModel
from interlock.simulate.synthetic import generate
from interlock.simulate.world import Strategy
from interlock.strategies.contract import WAKE_PRICE, WAKE_RESPONSES
from interlock.strategies.touch import touch

INSTRUMENT = perpetual()


@pytest.fixture(scope="module")
def stream() -> Rows:
    """100,000 level sets and the trades between them."""
    return generate(100_000, seed=7)


def compiled_run(rows: Rows, lots: int, power: float | None, partial: bool, delays: tuple[int, int, int]) -> Outcome:
    order_ns, cancel_ns, response_ns = delays
    setup = Setup(
        rows,
        [INSTRUMENT],
        {"binance": venue_settings(order_ns=order_ns, cancel_ns=cancel_ns, response_ns=response_ns)},
        {INSTRUMENT.key: InstrumentSettings(10**9)},
        {
            "queue": QueueModel.RISK_AVERSE if power is None else QueueModel.POWER,
            "queue_power": power or 1.0,
            "partial_fills": partial,
        },
    )
    strategy = Strategy("touch", touch, np.array([float(lots)]), 1, WAKE_PRICE | WAKE_RESPONSES)
    return replay_fast(setup.world(strategy), touch)


def reference_run(rows: Rows, lots: int, power: float | None, partial: bool, delays: tuple[int, int, int]) -> Reference:
    order_ns, cancel_ns, response_ns = delays
    reference = Reference(order_ns=order_ns, cancel_ns=cancel_ns, response_ns=response_ns, lots=lots, power=power, partial=partial)
    columns = (rows[name].tolist() for name in ("exchange_ns", "receive_ns", "kind", "side", "ticks", "lots"))
    reference.run(zip(*columns, strict=True))
    return reference


@pytest.mark.parametrize("power", [None, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("delays", [(500_000, 500_000, 500_000), (2_000_000, 3_000_000, 100_000)])
def test_the_same_fills_as_the_plain_model(stream: Rows, power: float | None, partial: bool, delays: tuple[int, int, int]) -> None:
    rows = stream[:30_000] if delays[0] > 500_000 or power in (1.0, 3.0) else stream
    ours = compiled_run(rows, 150, power, partial, delays)
    theirs = reference_run(rows, 150, power, partial, delays)
    got = [(int(f["exchange_ns"]), int(f["seq"]), int(f["side"]), int(f["ticks"]), int(f["lots"])) for f in ours.fills]
    expected = [(f.exchange_ns, f.number, f.side, f.ticks, f.lots) for f in theirs.fills]
    assert len(expected) > 300
    for i, (one, other) in enumerate(zip(got, expected, strict=False)):
        assert one == other, f"fill {i}"
    assert len(got) == len(expected)
    assert ours.submitted == next(theirs.numbers) - 1


def test_the_models_differ_from_each_other(stream: Rows) -> None:
    delays = (500_000, 500_000, 500_000)
    counts = {
        (power, partial): len(compiled_run(stream, 150, power, partial, delays).fills) for power in (None, 2.0) for partial in (False, True)
    }
    assert len(set(counts.values())) == 4


def test_the_figures_of_this_stream(stream: Rows) -> None:
    # They change only when the stream, the quoting rule or the model does; each is a reason to look.
    delays = (500_000, 500_000, 500_000)
    risk = compiled_run(stream, 1, None, False, delays)
    power = compiled_run(stream, 1, 2.0, False, delays)
    assert (risk.submitted, len(risk.fills), len(power.fills)) == (11_408, 1_609, 1_767)
