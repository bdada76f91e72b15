"""Where in the host's memory the stop word of a gate's folder is, and what an earlier stop leaves to be finished when that cannot be told.

The folder has an id, drawn once and kept on disk. With it and the folder's own place (device and inode) the name in memory is made: another folder
of the same path has another id, a copy of the folder another inode, and a folder that was renamed keeps both. After the host's boot the memory is
empty, and the note on disk says what is left to be done.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from interlock.domain.errors import DamagedState, InterlockError, Refused
from interlock.gate.sockets import private_folder
from interlock.sentinel.note import UNKNOWN, Disk, HostDisk, Stop, encoded, read_note, replace
from interlock.sentinel.stop_word import StopWord
from interlock.sentinel.sweep import Scope

MEMORY = Path("/dev/shm")
"""Where Linux keeps files that are memory."""
ID = "stop-word.id"
IN_MEMORY = ("tmpfs", "ramfs")
_ID = re.compile(rb"[0-9a-f]{32}\n")


def memory_folder(run: Path, stop_note: Path, disk: Disk, memory: Path = MEMORY) -> Path:
    """The private folder in memory of the gate's folder whose `run` this is; made if it is not there.

    An id that cannot be read may have led to a stop that is not at its end: then one is noted, before there is a new id. Raises Refused if
    `memory` is none or the folder there is somebody else's, OSError if the disk refuses. Only one process of a folder may ask at a time.
    """
    kind = file_system_of(memory)
    if kind not in IN_MEMORY:
        raise Refused(f"{memory}: expected memory ({' or '.join(IN_MEMORY)}), found {kind or 'nothing'}; mount a tmpfs there")
    place = os.stat(run)
    digest = hashlib.sha256(b"%b %d %d" % (_id_of(run / ID, stop_note, disk), place.st_dev, place.st_ino)).hexdigest()
    return private_folder(memory / f"interlock-{os.geteuid()}-{digest[:32]}")


def _id_of(path: Path, stop_note: Path, disk: Disk) -> bytes:
    try:
        found = disk.read(path)
        if _ID.fullmatch(found):
            return found
        _leave(UNKNOWN, stop_note, disk)
    except FileNotFoundError:
        pass  # a new folder
    except OSError:
        _leave(UNKNOWN, stop_note, disk)
    drawn = f"{secrets.token_hex(16)}\n".encode()
    replace(disk, path, drawn)
    return drawn


def _leave(stop: Stop, stop_note: Path, disk: Disk) -> None:
    """Note a stop, unless one is noted already: that one knows more."""
    try:
        if read_note(disk, stop_note) is not None:
            return
    except FileNotFoundError:
        pass  # none was ever noted
    except DamagedState:
        return  # it counts as one
    replace(disk, stop_note, encoded(stop))


def file_system_of(folder: Path) -> str:
    """The kind of file system that a folder is on, by the kernel's list of mounts; empty if there is no such folder."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return ""
    wanted, found = f"{os.major(device)}:{os.minor(device)}", ""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[2] == wanted:
            found = after.split(" ")[0]
    return found


def take_over_word_on_disk(path: Path, stop_note: Path, in_memory: Path, disk: Disk) -> None:
    """Earlier versions kept the stop word in the folder itself. What such a word still asks for is noted, and the word removed. Raises OSError.

    With it goes the note `in_memory` of a stop that is at its end, because it is read first. To be done while neither gate nor sentinel of the folder
    lives.
    """
    if not os.path.lexists(path):
        return
    try:
        word = StopWord.attach(path)
    except InterlockError:
        left: Stop | None = UNKNOWN
    else:
        left = _asked_for(word)
        word.close()
    if left is not None:
        _leave(left, stop_note, disk)
        with suppress(FileNotFoundError, DamagedState):  # there is none, or it counts as a stop itself
            if read_note(HostDisk(), in_memory) is None:
                in_memory.unlink()
    path.unlink()


def _asked_for(word: StopWord) -> Stop | None:
    if not word.unfinished:
        return None
    gate = word.gate
    scope = Scope.OWN if word.unfinished == 1 else Scope.ALL
    return Stop(scope=scope, client_ids={}, gate=None if gate is None else (gate.pid, gate.start_ticks, gate.pid_namespace))
