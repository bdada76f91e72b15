"""The file that says where venues are and with which keys: the first line of `interlock venues serve`, or endpoints by name.

The first holds addresses of this host and the simulators' own keys. The second names an endpoint, for each venue the file of its key, and which keys
its hosts' certificates may have; it holds no secret and no address, and there is no way to name another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.errors import UsageError
from interlock.gate.records import Endpoint
from interlock.venues.request import Key


class _NamedVenue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    credential: str
    pins: dict[str, tuple[str, ...]]
    disconnect_cancel_s: int = 0


class Named(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint by name: the file of each venue's key, and by host the pins of its certificate (`endpoint.pin_of`).

    A credential is a whole path, or a name in the folder of credentials that systemd gives a service. `disconnect_cancel_s`: the venue has granted
    the account that it cancels when the gate's private stream is silent, and is to do so after so many seconds; 0: not.
    """

    endpoint: Endpoint
    venues: dict[str, _NamedVenue]


def read_places(path: Path) -> Mapping[str, Any]:
    """The first line of `interlock venues serve` in a file. Raises UsageError."""
    text = _text(path)
    line = text.splitlines()[0] if text.strip() else b""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: expected the first line of `interlock venues serve --json`, found: {error}") from error


def read_named(path: Path, endpoint: Endpoint) -> Named:
    """The file that names an endpoint, which must be the one that was asked for. Raises UsageError."""
    try:
        named = msgspec.json.decode(_text(path), type=Named)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{path}: expected an endpoint, and credential and pins of each venue, found: {error}; see docs/gate.md"
        ) from error
    if named.endpoint is not endpoint:
        raise UsageError(f"{path}: expected endpoint {endpoint.value}, as was asked for, found {named.endpoint.value}; name the right file")
    return named


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: expected a file of where the venues are, found: {error.strerror}") from error


def key_at(venue: str, places: Mapping[str, Any]) -> Key:
    """The key of a simulated venue's account. Raises UsageError where there is none."""
    mine = places.get(venue)
    if not isinstance(mine, Mapping):
        raise UsageError(f"expected {venue} among the simulated venues, found none")
    return Key(str(mine.get("key", "")), str(mine.get("secret", "")))


def disconnect_cancel_s(venue: str, places: Mapping[str, Any]) -> int:
    """The window of disconnection protection at a simulated venue, seconds, which somebody wrote beside its address; 0 where nobody did.

    Raises UsageError for what is no whole number.
    """
    mine = places.get(venue)
    found = mine.get("disconnect_cancel_s", 0) if isinstance(mine, Mapping) else 0
    if not isinstance(found, int) or isinstance(found, bool):
        raise UsageError(f"places, {venue}, disconnect_cancel_s: expected a whole number of seconds, found {found!r}")
    return found


def credential_file(credential: str, credentials: Path | None, path: Path) -> Path:
    """The file of a key: a whole path, or a name in the folder of credentials that systemd gave. Raises UsageError."""
    if credential.startswith("/"):
        return Path(credential)
    if not credential or "/" in credential or credential.startswith("."):
        raise UsageError(f"{path}: expected a whole path or the name of a credential of systemd, found {credential!r}")
    if credentials is None:
        raise UsageError(
            f"{path}: expected CREDENTIALS_DIRECTORY for the credential {credential!r}, found none; start it by systemd, or give a path"
        )
    return credentials / credential
