"""Processes that must hold no key look at what they were given before they do anything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from interlock.domain.errors import UsageError

_KEYS: Final = re.compile(r"(API|ACCESS|SECRET|PRIVATE)_?KEY|SECRET|PASSPHRASE|PASSWORD|TOKEN", re.IGNORECASE)


def any_keys(environ: Mapping[str, str]) -> list[str]:
    """The names of whatever could be a key."""
    return sorted(name for name in environ if _KEYS.search(name))


def require_no_keys(environ: Mapping[str, str], who: str) -> None:
    """Raise UsageError, by name, for anything in an environment that could be a key: one that lies about is one that could be used."""
    if found := any_keys(environ):
        raise UsageError(f"{who}: expected no key, found {', '.join(found)} in the environment; start it without them")
