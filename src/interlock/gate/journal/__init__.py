"""The journal: the only thing that outlives the gate. It keeps records it does not look into, in order, and knows how far they are durable.

`open_journal` for the one writer; `recover`, `Follower`, `latest_snapshot` and `archive` for everybody else. The format is in docs/journal.md.
"""

from interlock.gate.journal.archive import Archived, archive
from interlock.gate.journal.barrier import Journal, JournalFailed, JournalFull, Progress, Room
from interlock.gate.journal.disk import Disk, File, Held, SystemDisk
from interlock.gate.journal.follow import Follower
from interlock.gate.journal.format import START, Mark
from interlock.gate.journal.opening import open_journal
from interlock.gate.journal.recover import Recovered, recover, require_journal
from interlock.gate.journal.segments import Torn
from interlock.gate.journal.snapshots import SnapshotFile, latest_snapshot, write_snapshot
from interlock.gate.journal.writer import Options

__all__ = [
    "START",
    "Archived",
    "Disk",
    "File",
    "Follower",
    "Held",
    "Journal",
    "JournalFailed",
    "JournalFull",
    "Mark",
    "Options",
    "Progress",
    "Recovered",
    "Room",
    "SnapshotFile",
    "SystemDisk",
    "Torn",
    "archive",
    "latest_snapshot",
    "open_journal",
    "recover",
    "require_journal",
    "write_snapshot",
]
