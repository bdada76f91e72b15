"""Both drivers on the recorded BTCUSDT capture."""

from pathlib import Path

import numpy as np
import pytest
from tests.simulate.worlds import assert_equal

from interlock.market.tape import Tape
from interlock.simulate.fast import replay_fast
from interlock.simulate.full import replay_full
from interlock.simulate.layout import World
from interlock.simulate.settings import InstrumentSettings, QueueModel, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy, build_world
from interlock.strategies.touch import WAKES, touch
from interlock.venues.formats import import_tape

pytestmark = pytest.mark.data("binance_usdm")


@pytest.fixture(scope="module")
def tape(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    capture = data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz"
    return import_tape("binance-usdm-raw", [capture], tmp_path_factory.mktemp("recorded") / "tape")


@pytest.mark.parametrize("queue", list(QueueModel))
def test_both_drivers_give_the_same_on_the_capture(tape: Path, queue: QueueModel) -> None:
    with Tape.open(tape) as opened:
        instrument = opened.instruments[0]
        delays = VenueSettings(order_ns=1_000_000, cancel_ns=1_500_000, response_ns=1_000_000, margined=False)
        settings = ReplaySettings({instrument.venue: delays}, {instrument.key: InstrumentSettings(10**6)}, queue=queue)
        strategy = Strategy("touch", touch, np.array([20.0]), 1, WAKES)

        def world() -> World:
            return build_world(opened.rows, opened.exchange_order, opened.instruments, settings, strategy)

        fast = replay_fast(world(), touch, block_rows=1_000)
        assert_equal(fast, replay_full(world(), touch))
        assert len(fast.fills) > 500
