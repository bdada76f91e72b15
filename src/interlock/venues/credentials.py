"""Keys of a person's own accounts: each in a file that nobody else can read, which says of which venue and of which of its worlds the key is.

A key that says `testnet` is never used at a real host, nor the other way round: which it is stands beside the secret, not in what names the file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.endpoint import Where
from interlock.venues.request import Key

MOST_BYTES = 1 << 16
_FORM = '{"venue": ..., "endpoint": "testnet", "key": ..., "secret": ...}'


class _Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    venue: str
    endpoint: str
    key: str
    secret: str


def read_credential(path: Path, venue: str, where: Where) -> Key:
    """The key in a file, for one venue in one of its worlds. Nothing of what the file holds is ever shown, but venue and endpoint.

    Raises UsageError for a file that others could read, that is none or a link, or that is for another venue or endpoint.
    """
    data = _private_bytes(path)
    try:
        found = msgspec.json.decode(data, type=_Credential)
    except msgspec.DecodeError:
        # The decoder's words may quote what it read, so they are not passed on.
        raise UsageError(f"{path}: expected {_FORM}, found something else; write it anew") from None
    if found.venue != venue:
        raise UsageError(f"{path}: expected a key of {venue}, found one of {found.venue!r}; name the right file")
    if found.endpoint != where.value:
        raise UsageError(
            f"{path}: expected a key for {venue} {where.value}, found one for {found.endpoint!r}; a key is used where it was made and nowhere else"
        )
    try:
        return Key(found.key, found.secret)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _private_bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"{path}: expected a file with a key, found: {error.strerror}; a link is none") from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"{path}: expected a file with a key, found no ordinary file")
        mode = stat.S_IMODE(about.st_mode)
        # What systemd hands a service may belong to root and be opened to the service's user by an ACL, which shows as a right of the group to read.
        ours, by_acl = about.st_uid == os.geteuid(), about.st_uid == 0
        if not ((ours and not mode & 0o077) or (by_acl and not ours and not mode & 0o037)):
            raise UsageError(
                f"{path}: expected a file of this user with mode 0600, found owner {about.st_uid} and mode {mode:04o}; correct it"
            )
        data = os.read(descriptor, MOST_BYTES + 1)  # of an ordinary file all that is asked for comes at once
    finally:
        os.close(descriptor)
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path}: expected at most {MOST_BYTES} bytes, found more")
    return data
