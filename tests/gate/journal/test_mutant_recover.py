"""Beginning: an empty folder, a disk error that somebody left a note of, and the newest segment synced at boot."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.gate.disks import FakeDisk, FakeFile
from tests.gate.journal.helpers import FOLDER, SCHEMA, SMALL, Watched, file, journal, payload

from interlock.gate.journal import START, Recovered, open_journal, recover


@pytest.mark.parametrize("noted", [False, True])
def test_a_folder_without_segments_is_an_empty_journal(noted: bool) -> None:
    disk = FakeDisk()
    disk.make_directory(FOLDER)
    if noted:
        disk.create(FOLDER / "io-error").close()
    assert recover(disk, FOLDER, schema=SCHEMA) == Recovered(
        mark=START,
        barrier_lsn=0,
        sealed=False,
        disk_error=noted,
        torn=None,
        segments=0,
        records=0,
        incarnation=bytes(16),
        next_batch=1,
        carry=None,
    )


class OneRefuses(FakeDisk):
    """The sync of one file fails, as after a write that a dead process never heard of."""

    refusing: Path

    def open(self, path: Path) -> FakeFile:
        file = super().open(path)
        return Refusing(self, self.files[path]) if path == self.refusing else file


class Refusing(FakeFile):
    def sync(self) -> None:
        raise OSError(errno.EIO, "lost")


@pytest.mark.parametrize(("index", "noted"), [(0, False), (-1, True)])
def test_the_newest_segment_is_asked_for_errors_and_no_other(index: int, noted: bool) -> None:
    """The others were synced and followed by a segment that says how they end."""
    disk = OneRefuses()
    disk.refusing = Path("none")
    journal(10, disk=disk)
    disk.refusing = file(disk, index)
    opened, found = open_journal(disk, FOLDER, schema=SCHEMA, incarnation=b"b" * 16, options=SMALL)
    opened.close()
    assert found.disk_error == noted
    assert found.mark.lsn == 10


def test_an_error_at_boot_is_noted_beside_the_note_of_an_earlier_one() -> None:
    """A note that is there already must not keep the gate from booting."""
    disk = journal(3)
    for _ in range(2):
        disk.faults[len(disk.steps)] = errno.EIO
        opened, found = open_journal(disk, FOLDER, schema=SCHEMA, incarnation=b"b" * 16, options=SMALL)
        opened.close()
        assert found.disk_error
        assert FOLDER / "io-error" in disk.files
        assert found.mark.lsn == 3


def test_opening_and_closing_leaves_no_file_open() -> None:
    disk = Watched()
    for life in range(3):
        opened, found = open_journal(disk, FOLDER, schema=SCHEMA, incarnation=b"b" * 16, options=SMALL)
        assert found.mark.lsn == 2 * life
        opened.commit(payload(1), payload(2))
        assert disk.left_open()
        opened.write_snapshot(opened.durable_mark, bytes(32), b"state")
        opened.close()
        assert disk.left_open() == []
