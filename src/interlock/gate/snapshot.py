"""Snapshots of the gate's state: its bytes, whether they may be believed, and when to write one.

A snapshot is a cache of the fold. It holds what records brought about and nothing that lives in memory alone, so that a state read from one is
disarmed like every fold. It is used only if it was made by the same rules and of the same parts, and if the state read from it has the very digest
that was written down; otherwise it is ignored, and it is told why. `verify_snapshot` folds the journal again.

It may have been made under another sheet of limits than the one that the next life begins with: what a sheet had a say in ends with the boot under
another one (`losses`), so that from there on it is the state of the whole journal. Only how long what was sent is remembered must be the same
(`throttles.remembered_ns`), for nobody can remember again what was forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import Refused, UsageError
from interlock.gate import records
from interlock.gate.arming import Arming, Machine
from interlock.gate.attested import Attestations
from interlock.gate.drill import Drills
from interlock.gate.in_force import InForce
from interlock.gate.journal import START, Disk, Mark, SnapshotFile, latest_snapshot, recover
from interlock.gate.lattice import Lattice
from interlock.gate.ledger import Ledger
from interlock.gate.limit_sheet import LimitSheet, sheet_hash
from interlock.gate.losses import Losses
from interlock.gate.order_state import Orders
from interlock.gate.record_reading import read_record
from interlock.gate.state import GateState, Group, Permitted
from interlock.gate.throttles import Throttles, remembered_ns

RULES: Final = 4
"""To be raised when the fold makes another state of the same records, though no part of it has another name or type."""
RECORDS_BETWEEN: Final = 50_000
"""How many records there are between two snapshots when the gate comes to rest now and then; a boot folds at most some more than that."""
MOST_RECORDS_BETWEEN: Final = 2 * RECORDS_BETWEEN
"""How many there are at most; then one is written in the midst of work."""

_APART: Final = frozenset({"machine", "given"})
"""Parts of the state that are not taken as they are: of the machine only its two folds, of the sheet that it was folded under only its hash."""
_LARGE: Final = frozenset({"orders", "ledger", "throttles"})
"""Parts that take long to encode."""


class Unfit(Refused):
    """The bytes of a snapshot that must not be believed here; the message says why."""


class Loaded(NamedTuple):
    """A state and the record that it stands after."""

    state: GateState
    mark: Mark


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """All parts of a `GateState` that records bring about, under their own names."""

    arming: Arming
    lattice: Lattice
    orders: Orders
    ledger: Ledger
    throttles: Throttles
    losses: Losses
    limits: InForce
    drills: Drills
    attestations: Attestations
    groups: dict[str, Group]
    permits: dict[str, Permitted]
    incarnation: str
    boots: int
    epoch: int
    last_epoch: int
    sequence: int
    sequences: dict[str, int]
    denied_boot_ns: dict[tuple[str, str], int]
    noted: dict[str, int]
    foreigners: int
    duplicates: int
    records: int


class _Envelope(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    layout: str
    rules: int
    sheet: str
    body: bytes


_ENCODER = msgspec.msgpack.Encoder()
_OPENER = msgspec.msgpack.Decoder(_Envelope)
_DECODER = msgspec.msgpack.Decoder(_Body)


@cache
def layout() -> str:
    """SHA-256, hexadecimal, over the names and types of all parts: a snapshot of another interlock is known by it without a version to raise."""
    return hashlib.sha256(repr(msgspec.inspect.type_info(_Body)).encode()).hexdigest()


def encode(state: GateState) -> bytes:
    """The bytes of a state. Raises OverflowError for a sum beyond 64 bits, and TypeError for a state that has got a part which is missing here."""
    return snapshot_file(state, START, records.SCHEMA).blob


def decode(blob: bytes, sheet: LimitSheet) -> GateState:
    """The state that `encode` was given, disarmed, for a life that begins with `sheet`.

    Raises Unfit for any other bytes, for those of other rules or parts, and where the sheet asks for another memory of what was sent.
    """
    found = _opened(blob)
    if found.rules != RULES:
        raise Unfit(f"expected a snapshot by rules {RULES}, found rules {found.rules}")
    if found.layout != layout():
        raise Unfit("expected a snapshot of the parts that a state has here, found one of others")
    try:
        body = _DECODER.decode(found.body)
    except msgspec.DecodeError as error:
        raise Unfit(f"expected the parts of a state, found others ({error})") from error
    if body.throttles.window_ns != remembered_ns(sheet):
        raise Unfit(
            f"expected a snapshot that remembers what was sent in the last {remembered_ns(sheet) // NS_PER_MS} ms, as long as the limits count, "
            f"found one of {body.throttles.window_ns // NS_PER_MS} ms"
        )
    state = GateState(sheet)
    state.machine = Machine(arming=body.arming, lattice=body.lattice)
    for name in GateState.__slots__:
        if name not in _APART:
            setattr(state, name, getattr(body, name))
    return state


def _opened(blob: bytes) -> _Envelope:
    try:
        return _OPENER.decode(blob)
    except msgspec.DecodeError as error:
        raise Unfit(f"expected the bytes of a snapshot, found others ({error})") from error


def snapshot_file(state: GateState, mark: Mark, schema: int) -> SnapshotFile:
    """A snapshot for `Journal.write_snapshot`: `state` must be the fold up to `mark` exactly. Raises as `encode`."""
    *_, file = in_slices(state, mark, schema)
    assert file is not None
    return file


def in_slices(state: GateState, mark: Mark, schema: int) -> Iterator[SnapshotFile | None]:
    """`snapshot_file` a slice at a time: None after each, so that other work can be done between two, and at last the file.

    The state must be the same from the first slice to the last; `GateState.records` tells whether it is.
    """
    parts = {name: getattr(state, name) for name in GateState.__slots__ if name not in _APART}
    body = _Body(arming=state.arming, lattice=state.lattice, **parts)
    plain: dict[str, bytes] = {}
    prints: dict[str, tuple[object, ...]] = {}
    for name in body.__struct_fields__:
        plain[name] = _ENCODER.encode(getattr(body, name))
        if name in _LARGE:
            yield None
            # What `fingerprint` makes of it, without encoding it once more.
            prints[name] = (hashlib.sha256(plain[name]).hexdigest(),)
            yield None
    whole = _ENCODER.encode([msgspec.Raw(part) for part in plain.values()])
    yield None
    blob = _ENCODER.encode(_Envelope(layout(), RULES, sheet_hash(state.given), whole))
    yield SnapshotFile(mark, schema, bytes.fromhex(state.digest_of(**prints)), blob)


def load(disk: Disk, directory: Path, schema: int, sheet: LimitSheet, say: Callable[[str], None]) -> Loaded | None:
    """The state of the newest snapshot that fits the journal, or None; `say` is told why one is ignored. The life must begin with `sheet`.

    What follows is folded from `mark` on: `open_journal(..., after=mark)`. Raises DamagedState if the segment that a snapshot stands in is damaged.
    """
    found, ignored = latest_snapshot(disk, directory, schema)
    for why in ignored:
        say(f"snapshot ignored: {why}")
    if found is None:
        return None
    try:
        return Loaded(_believe(found, sheet), found.mark)
    except Unfit as error:
        say(f"snapshot of record {found.mark.lsn} ignored: {error}")
        return None


def verify_snapshot(disk: Disk, directory: Path, sheet: LimitSheet) -> str:
    """Fold the journal anew up to its newest snapshot, archives included, and say how the two differ; empty if they agree, or if there is none.

    Raises UsageError if `sheet` is not the one that the snapshot was made under, and as `recover`.
    """
    found, ignored = latest_snapshot(disk, directory, records.SCHEMA)
    if found is None:
        return "; ".join(ignored)
    at = f"snapshot of record {found.mark.lsn}"
    again = GateState(sheet)

    def fold(lsn: int, payload: bytes) -> None:
        if lsn <= found.mark.lsn:
            again.apply(read_record(disk, directory, lsn, payload))

    try:
        if (made_under := _opened(found.blob).sheet) != sheet_hash(sheet):
            raise UsageError(
                f"--limits: expected the limits that the {at} was made under, {made_under}, found {sheet_hash(sheet)}; give the file that the gate "
                "ran under then, or leave it out"
            )
        _believe(found, sheet)
        recover(disk, directory, schema=records.SCHEMA, consume=fold)
    except Unfit as error:
        return f"{at}: {error}"
    if again.digest() == found.state_hash.hex():
        return ""
    return f"{at}: expected the state {again.digest()}, which the records make, found {found.state_hash.hex()}; remove the snapshot"


def quiet(state: GateState) -> bool:
    """Whether nothing is under way that some milliseconds could delay: no permit before its write, no placement without an answer, no cancel owed."""
    return not (state.permits or state.orders.unresolved or state.orders.cancelling)


def due(state: GateState, *, last_lsn: int, durable_lsn: int, snapshot_lsn: int) -> bool:
    """Whether to write a snapshot now. To be asked between two records by the thread that folds, which makes it.

    Only when everything that was folded is durable, for nothing else is a place in the journal; and unless it has become urgent, when it is quiet.
    """
    since = durable_lsn - snapshot_lsn
    if durable_lsn != last_lsn or since < RECORDS_BETWEEN:
        return False
    return since >= MOST_RECORDS_BETWEEN or quiet(state)


def _believe(found: SnapshotFile, sheet: LimitSheet) -> GateState:
    state = decode(found.blob, sheet)
    digest = state.digest()
    if digest != found.state_hash.hex():
        raise Unfit(f"expected the state {found.state_hash.hex()}, found {digest} in its bytes")
    return state
