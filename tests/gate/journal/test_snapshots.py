"""Snapshots and archives: caches that may be wrong, and segments that a boot can do without."""

from __future__ import annotations

import lzma
from contextlib import suppress
from pathlib import Path

import pytest
from tests.gate.disks import FakeDisk, PowerLoss
from tests.gate.journal.helpers import FOLDER, begin, file, flip, journal, payload, read, snapshot, write

from interlock.domain.errors import BadInput, DamagedState, Refused, UsageError
from interlock.gate.journal import Mark, SnapshotFile, archive, latest_snapshot, recover, write_snapshot
from interlock.gate.journal.format import with_crc
from interlock.gate.journal.snapshots import chain_at

TEN = [payload(number) for number in range(10)]


def snapshots(disk: FakeDisk) -> list[Path]:
    return sorted(path for path in disk.files if path.suffix == ".snap")


def grow(disk: FakeDisk, records: list[bytes]) -> None:
    writer = begin(disk, b"b")
    write(writer, records)
    writer.close()


def test_the_newest_snapshot_is_found_and_the_fold_goes_on_from_there() -> None:
    disk = journal(4)
    snapshot(disk, read(disk)[0], b"four")
    grow(disk, TEN[4:8])
    snapshot(disk, read(disk)[0], b"eight")
    grow(disk, TEN[8:])
    found, ignored = latest_snapshot(disk, FOLDER, 1)
    assert found is not None
    assert (found.mark.lsn, found.blob, ignored) == (8, b"eight", ())
    got: list[bytes] = []
    recover(disk, FOLDER, schema=1, after=found.mark, consume=lambda lsn, record: got.append(record))
    assert got == TEN[8:]


def test_only_two_are_kept_and_one_of_the_same_record_is_replaced() -> None:
    disk = journal(1)
    for count in (1, 2, 3, 3):
        found = read(disk)[0]
        snapshot(disk, found, f"{count}".encode())
        grow(disk, TEN[count : count + 1])
    assert len(snapshots(disk)) == 2
    newest, _ = latest_snapshot(disk, FOLDER, 1)
    assert newest is not None
    assert newest.blob == b"3"


def test_a_snapshot_that_does_not_fit_is_ignored_with_a_reason() -> None:
    disk = journal(4)
    found = read(disk)[0]
    snapshot(disk, found, b"older")
    grow(disk, TEN[4:6])
    newer = read(disk)[0]

    def reason(expected: str) -> None:
        chosen, ignored = latest_snapshot(disk, FOLDER, 1)
        assert chosen is not None
        assert chosen.blob == b"older"
        assert expected in ignored[0]
        disk.unlink(snapshots(disk)[-1])

    def put(mark: Mark, schema: int = 1) -> Path:
        write_snapshot(disk, FOLDER, SnapshotFile(mark, schema, bytes(32), b"newer"))
        return snapshots(disk)[-1]

    put(newer.mark, schema=2)
    reason("expected record schema 1, found 2")
    put(newer.mark._replace(chain=bytes(32)))
    reason("another one there")
    flip(disk, put(newer.mark), 20)
    reason("its header is damaged")
    flip(disk, put(newer.mark), 512)
    reason("its content is damaged")
    path = put(newer.mark)
    disk.files[path.with_name(f"{9:020d}.snap")] = disk.files.pop(path)
    reason("its name says record 9, it says 6")
    path = put(newer.mark)
    disk.unreadable.add(0)
    assert "cannot be read" in latest_snapshot(disk, FOLDER, 1)[1][0]
    disk.unreadable.clear()
    disk.unlink(path)
    put(newer.mark._replace(lsn=7))
    reason("no batch of the journal ends with record 7")
    put(newer.mark)
    chosen, ignored = latest_snapshot(disk, FOLDER, 1)
    assert chosen is not None
    assert (chosen.blob, ignored) == (b"newer", ())


def test_another_format_is_ignored() -> None:
    disk = journal(2)
    snapshot(disk, read(disk)[0])
    head = disk.files[snapshots(disk)[0]].durable
    head[8] = 9
    head[:512] = with_crc(bytes(head[:508]))
    assert latest_snapshot(disk, FOLDER, 1) == (None, (f"{snapshots(disk)[0].name}: expected format 1, found 9",))


def test_a_snapshot_is_whole_or_absent_whenever_the_power_goes() -> None:
    for step in range(6):
        disk = journal(3)
        disk.crash_at = len(disk.steps) + step
        with suppress(PowerLoss):
            snapshot(disk, read(disk)[0])
        for fate in (0, 1, 2):
            after = disk.after_power_loss(lambda count, fate=fate: min(fate, count - 1))  # type: ignore[misc]
            found, ignored = latest_snapshot(after, FOLDER, 1)
            assert found is None or found.blob == b"state"
            assert not ignored
            assert read(after)[1] == TEN[:3]
    assert found is not None
    disk = journal(3)
    snapshot(disk, read(disk)[0])
    assert latest_snapshot(disk.after_power_loss(lambda count: 0), FOLDER, 1)[0] is not None


def test_what_is_no_snapshot_is_a_defect() -> None:
    for wrong in (
        SnapshotFile(Mark(0, bytes(32)), 1, bytes(32), b""),
        SnapshotFile(Mark(1, b""), 1, bytes(32), b""),
        SnapshotFile(Mark(1, bytes(32)), 1, b"", b""),
    ):
        with pytest.raises(UsageError):
            write_snapshot(journal(1), FOLDER, wrong)


def test_the_chain_at_a_record() -> None:
    disk = journal(3)
    assert chain_at(disk, FOLDER, 0, 1) == bytes(32)
    assert chain_at(disk, FOLDER, 3, 1) == read(disk)[0].mark.chain
    assert chain_at(disk, FOLDER, 4, 1) is None
    grow(disk, TEN[3:])
    disk.unlink(file(disk, 0))
    assert chain_at(disk, FOLDER, 1, 1) is None


def test_archived_segments_are_read_like_others_and_a_boot_can_do_without_them() -> None:
    disk = journal(10)
    before = read(disk)[0]
    original = {path.name: bytes(disk.files[path].durable) for path in disk.files if path.suffix == ".seg"}
    assert archive(disk, FOLDER, 1) == []
    snapshot(disk, before)
    packed = archive(disk, FOLDER, 1)
    assert [each.first_lsn for each in packed] == [int(name[:20]) for name in sorted(original)[:-1]]
    assert all(each.bytes_after < each.bytes_before for each in packed)
    assert [path.name for path in disk.files if path.suffix == ".seg"] == sorted(original)[-1:]
    found, got = read(disk)
    assert (found.mark, got) == (before.mark, TEN)
    for each in packed:
        assert lzma.decompress(bytes(disk.files[each.path].durable)) == original[each.path.name.removesuffix(".xz")]
        disk.unlink(each.path)
    chosen, _ = latest_snapshot(disk, FOLDER, 1)
    assert chosen is not None
    assert recover(disk, FOLDER, schema=1, after=chosen.mark).mark == before.mark
    with pytest.raises(DamagedState, match="expected a segment with record 1"):
        read(disk)


def test_a_second_archiver_is_refused_and_damage_is_not_packed_away() -> None:
    disk = journal(10)
    snapshot(disk, read(disk)[0])
    held = disk.lock(FOLDER / "archive.lock")
    with pytest.raises(Refused, match="another process is archiving"):
        archive(disk, FOLDER, 1)
    held.release()
    flip(disk, file(disk, 0), 600)
    with pytest.raises(DamagedState):
        archive(disk, FOLDER, 1)
    assert len([path for path in disk.files if path.suffix == ".seg"]) == 3
    flip(disk, file(disk, 0), 600)
    assert archive(disk, FOLDER, 1)


def test_an_archive_that_does_not_give_the_segment_back_removes_nothing() -> None:
    disk = journal(10)
    snapshot(disk, read(disk)[0])

    class Garbling(FakeDisk):
        def rename(self, source: Path, target: Path) -> None:
            super().rename(source, target)
            self.files[target].durable[:] = lzma.compress(b"something else")
            self.files[target].size = len(self.files[target].durable)

    bad = Garbling()
    bad.files, bad.directories, bad.durable_names = disk.files, disk.directories, disk.durable_names
    with pytest.raises(DamagedState, match="found another content"):
        archive(bad, FOLDER, 1)
    assert len([path for path in bad.files if path.suffix == ".seg"]) == 3
    assert read(bad)[1] == TEN


def test_a_damaged_archive_refuses_and_power_loss_while_archiving_loses_nothing() -> None:
    disk = journal(10)
    snapshot(disk, read(disk)[0])
    step = 0
    while True:
        trial = FakeDisk()
        trial.directories = set(disk.directories)
        trial.files = {path: inode.after_power_loss(lambda count: 1) for path, inode in disk.files.items()}
        trial.durable_names = dict(trial.files)
        trial.crash_at = step
        try:
            archive(trial, FOLDER, 1)
        except PowerLoss:
            for fate in (0, 1, 2):
                after = trial.after_power_loss(lambda count, fate=fate: min(fate, count - 1))  # type: ignore[misc]
                assert read(after)[1] == TEN
                archive(after, FOLDER, 1)
                assert read(after)[1] == TEN
            step += 1
            continue
        break
    assert step > 10
    packed = next(path for path in trial.files if path.suffix == ".xz")
    trial.files[packed].durable[40] ^= 1
    with pytest.raises(DamagedState, match="does not unpack"):
        read(trial)
    with pytest.raises(BadInput):
        archive(trial, Path("elsewhere"), 1)
