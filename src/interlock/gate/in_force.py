"""Which sheet of limits is in force, as a fold of the journal: that of the start, and from then on only tighter ones, each recorded."""

from __future__ import annotations

import msgspec

from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Armed, Boot, LimitsTightened, Purpose, Record


class InForce(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`hash` is that of the sheet in force, SHA-256, hexadecimal; empty before the first boot.

    `tightened` is that sheet and `tightened_wall_ns` since when it holds; None and 0 while the one that the process life began with is in force.
    `forgone` is the sheet that an earlier life had been tightened to when it ended, until a person arms: what is looser than it is to be told.
    """

    hash: str = ""
    tightened: LimitSheet | None = None
    tightened_wall_ns: int = 0
    forgone: LimitSheet | None = None


def apply(state: InForce, record: Record) -> InForce:
    """Fold one record in. A boot begins with the sheet of the start; a tightening counts only if it follows what is in force."""
    match record:
        case Boot():
            return InForce(record.limits, forgone=state.forgone if state.tightened is None else state.tightened)
        case LimitsTightened() if record.before == state.hash:
            return InForce(record.after, record.sheet, record.wall_ns, state.forgone)
        case Armed() if record.grant.purpose is Purpose.TRADE:
            return msgspec.structs.replace(state, forgone=None)
    return state
