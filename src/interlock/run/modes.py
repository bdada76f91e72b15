"""The modes of a run, and what each needs before anything is started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from interlock.domain.errors import BadInput, UsageError
from interlock.gate.records import Endpoint
from interlock.run.config import RunConfig
from interlock.run.keyless import any_keys, require_no_keys
from interlock.run.observed import endpoint_named, only_read_keys
from interlock.run.places import read_named


class Mode(StrEnum):
    """What a run does with what it decides. An unknown value is refused; there is no default that trades."""

    REPLAY = "replay"
    PAPER = "paper"
    SHADOW = "shadow"
    TESTNET = "testnet"
    LIVE = "live"


_CONTRADICTS: Final = ("LIVE_MODE", "SAFETY_MODE", "LIVE_ENABLED", "MM_LIVE_ENABLE", "SECRETS_MOCK_MODE", "READINESS_OVERRIDE")
_RENAMED: Final = {
    "UPBIT_API_KEY": "the access key in the places file of the gate",
    "BINANCE_SECRET_KEY": "the secret in the places file of the gate",
}

_PLACES: Final = {
    Mode.SHADOW: "--places: expected the first line of `interlock venues serve --json`, or a file that names the accounts to watch and keys that "
    "only read, found none (docs/running.md)",
    Mode.TESTNET: "--places: expected a file that names endpoint testnet, keys and pins, found none (docs/gate.md)",
    Mode.LIVE: "--places: expected the first line of `interlock venues serve --json`; the venues' own hosts are not open to the gate yet",
}


def choose_mode(text: str | None, config: RunConfig, environ: Mapping[str, str], *, places: Path | None) -> Mode:
    """The mode that was named. Where none was, shadow if there are keys that read and no others, and never anything else.

    What a key may do the venue tells, and shadow asks it before anything begins. Raises UsageError with the modes.
    """
    if text is not None or places is None or any_keys(environ) or not only_read_keys(places, frozenset(config.venues)):
        return mode_of(text)
    return Mode.SHADOW


def mode_of(text: str | None) -> Mode:
    """The mode that was named. Raises UsageError with the modes where it is none or none was named."""
    names = ", ".join(mode.value for mode in Mode)
    if text is None:
        raise UsageError(
            f"--mode: expected one of {names}, found none; without it only shadow starts, where --places holds keys that read and no others"
        )
    try:
        return Mode(text)
    except ValueError:
        raise UsageError(f"--mode: expected one of {names}, found {text!r}") from None


def require_runnable(mode: Mode, config: RunConfig, path: Path, environ: Mapping[str, str], *, places: Path | None) -> None:
    """Everything that a start in this mode needs of the configuration and the environment. Raises UsageError with the next action."""
    if mode is Mode.REPLAY:
        raise UsageError("--mode replay: use `interlock replay CONFIG --tape TAPE --out DIR`")
    if mode is Mode.TESTNET and "upbit" in config.venues:
        raise UsageError(
            "--mode testnet: Upbit has no testnet; take its instruments out of the configuration, or run against the simulators"
        )
    _require_environment(mode, environ)
    if config.live is None:
        raise BadInput(path, "live", "expected a section [live] that names the file of limits, found none")
    if mode in (Mode.PAPER, Mode.SHADOW):
        require_no_keys(environ, f"--mode {mode.value}")
    if mode is not Mode.PAPER and places is None:
        raise UsageError(_PLACES[mode])
    if mode is Mode.SHADOW and places is not None:
        endpoint_named(places)
    if mode is Mode.TESTNET and places is not None:
        read_named(places, Endpoint.TESTNET)


def require_places(path: Path, config: RunConfig) -> None:
    """Raise UsageError unless the file is there and names every venue of the configuration; whether they answer is found out by whoever asks them."""
    expected = "expected the first line of `interlock venues serve --json`"
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--places {path}: {expected}, found: {error.strerror}; start the simulators and write it there") from error
    except ValueError as error:
        raise UsageError(f"--places {path}: {expected}, found no JSON; write the whole line there") from error
    for venue in sorted(config.venues):
        if not isinstance(found, dict) or not isinstance(found.get(venue), dict):
            raise UsageError(f"--places {path}: {expected} with {venue}, found none; it is a venue of the configuration")


def _require_environment(mode: Mode, environ: Mapping[str, str]) -> None:
    """What operators of other bots may have set: it never chooses the mode, and what contradicts it refuses."""
    told = environ.get("ARBITRAGE_ENV")
    if told is not None and told != mode.value:
        raise UsageError(
            f"ARBITRAGE_ENV: expected {mode.value!r} as --mode says, found {told!r}; it never sets the mode, unset it or let it agree"
        )
    dry = environ.get("DRY_RUN")
    if dry is not None and dry != "false" and mode in (Mode.TESTNET, Mode.LIVE):
        raise UsageError(f"DRY_RUN: {dry!r} allows at most --mode shadow, found {mode.value}; unset it or say exactly 'false'")
    for name in _CONTRADICTS:
        if name in environ:
            raise UsageError(f"{name}: this engine does not know it; unset it and use --mode and the arming ceremony (docs/differences.md)")
    for name, instead in _RENAMED.items():
        if name in environ:
            raise UsageError(f"{name}: renamed to {instead}; unset it")
