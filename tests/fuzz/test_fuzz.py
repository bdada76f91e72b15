"""A short search by atheris at every place where bytes of a venue come in; the long one is `make fuzz`, and in part `make soak`.

Where atheris cannot be installed (it has wheels for Linux on x86-64), the seeds still run, and Hypothesis looks at the same places in tests/venues.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fuzz.entries import ENTRIES, PLANTED
from tests.fuzz.run import BOUND_S, flags_of

from interlock import venues

REPOSITORY = Path(__file__).resolve().parents[2]
WITH_ATHERIS = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel here")
NAMES = pytest.mark.parametrize("name", sorted(ENTRIES))


def search(name: str, folder: Path, runs: int, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.run", "--one", name, str(folder), f"-runs={runs}", "-seed=1", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@NAMES
def test_what_a_search_begins_with_makes_sense(name: str) -> None:
    assert ENTRIES[name].seeds
    for seed in ENTRIES[name].seeds:
        assert ENTRIES[name].hold(seed), seed


@NAMES
def test_noise_is_nothing_and_breaks_nothing(name: str) -> None:
    for noise in (b"", b"\0", b"\xff" * 40, b"{" * 300, b"[" * 300, b'\x00\x00{"a":'):
        ENTRIES[name].hold(noise)


OF_FILES = {
    "interlock.venues.bybit.capture._decode_sent": "what a recording of ours asked",
    "interlock.venues.binance_usdm.wire.decode_envelope": "recordings of others, as they are imported",
    "interlock.venues.binance_usdm.wire.decode_other": "recordings of others, as they are imported",
}
"""Decoders of what comes from files and not from a venue, and from which: `tests/venues/test_binance_import.py` imports damaged ones."""


def decoders() -> dict[int, set[str]]:
    """Every decoder that a module of the venues makes, with its names there and where it is imported."""
    found: dict[int, set[str]] = {}
    for module in pkgutil.walk_packages(venues.__path__, f"{venues.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            decoder = value if isinstance(value, msgspec.json.Decoder) else getattr(value, "__self__", None)
            if isinstance(decoder, msgspec.json.Decoder):
                found.setdefault(id(decoder), set()).add(f"{module.name}.{name}")
    return found


def reached(do: Callable[[], object]) -> set[int]:
    """Which decoders are called while something is done."""
    met: set[int] = set()

    def note(_: object, event: str, called: Any) -> None:
        if event == "c_call" and isinstance(getattr(called, "__self__", None), msgspec.json.Decoder):
            met.add(id(called.__self__))

    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return met


def test_no_decoder_of_a_venue_s_words_is_forgotten() -> None:
    """A new one has to be reached by what a search begins with, or nobody looks for what breaks it."""

    def begin() -> None:
        for entry in ENTRIES.values():
            for seed in entry.seeds:
                entry.hold(seed)

    every, met = decoders(), reached(begin)
    assert len(every) > 80
    assert [names for decoder, names in every.items() if decoder not in met and not names & OF_FILES.keys()] == []
    # And those of files are none that a venue's words reach, or their reason is no reason.
    assert {name for decoder in met for name in every.get(decoder, ())} & OF_FILES.keys() == set()
    assert OF_FILES.keys() <= {name for names in every.values() for name in names}


@WITH_ATHERIS
def test_a_short_search_of_all_breaks_nothing(tmp_path: Path) -> None:
    done = search("all", tmp_path, 10_000)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 10000 runs" in done.stderr


@WITH_ATHERIS
def test_a_search_finds_what_breaks_and_keeps_it(tmp_path: Path) -> None:
    done = search("planted", tmp_path, 200_000)
    assert done.returncode != 0
    assert "KeyError" in done.stdout + done.stderr
    (kept,) = tmp_path.glob("planted-crash-*")
    with pytest.raises(KeyError):
        PLANTED.hold(kept.read_bytes())


@WITH_ATHERIS
def test_an_input_that_never_ends_is_found_and_kept(tmp_path: Path) -> None:
    # The bound itself is for a busy machine; a second is enough for what never ends.
    assert f"-timeout={BOUND_S}" in flags_of("hanging", tmp_path)
    done = search("hanging", tmp_path, 200_000, "-timeout=1")
    assert done.returncode != 0
    assert "timeout after" in done.stderr
    (kept,) = tmp_path.glob("hanging-timeout-*")
    with pytest.raises(KeyError):
        PLANTED.hold(kept.read_bytes())


@WITH_ATHERIS
@pytest.mark.soak
@NAMES
def test_a_long_search_breaks_nothing(name: str, tmp_path: Path) -> None:
    done = search(name, tmp_path, 500_000)
    assert done.returncode == 0, done.stderr[-3000:]
