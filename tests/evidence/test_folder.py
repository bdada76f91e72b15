import errno
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from interlock.domain.errors import UsageError
from interlock.evidence.folder import EvidenceFolder, EvidenceNotWritten, json_text, run_id
from interlock.evidence.folder_disk import Disk

NAME = "20240302T130000-making-5f2c9a0e"
PARENT = Path("runs").absolute()
WHOLE = {"kpi.json": json_text({"net": 1}).encode(), "report.html": b"<html/>", "notes.txt": "µ".encode()}


class Interrupted(Exception):
    """Stands for a failure that is none of the disk's."""


class FakeDisk:
    """A disk in memory whose operation number `fail_at` (from 0) raises `error`; with `stays` every later one does as well.

    A write that fails leaves half of the bytes behind. `lost` tells what a power cut would take from a folder.
    """

    def __init__(self, fail_at: int | None = None, error: BaseException | None = None, *, stays: bool = False) -> None:
        self.folders: set[Path] = {PARENT}
        self.files: dict[Path, bytes] = {}
        self.synced: set[Path] = set()
        self.operations = 0
        self._fail_at = fail_at
        self._error = error or OSError(errno.EIO, "Input/output error")
        self._stays = stays

    def exists(self, path: Path) -> bool:
        self._step()
        return path in self.folders or path in self.files

    def make_folder(self, path: Path) -> None:
        self._step()
        if path in self.folders:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        if path.parent not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        self.folders.add(path)

    def write(self, path: Path, data: bytes) -> None:
        try:
            self._step()
        except BaseException:
            self.files[path] = data[: len(data) // 2]
            raise
        assert path.parent in self.folders
        assert path not in self.files
        self.files[path] = data
        self.synced.discard(path.parent)

    def sync(self, path: Path) -> None:
        self._step()
        assert path in self.folders or path in self.files
        self.synced.add(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        assert target not in self.folders
        assert not self.lost(source), "renamed before it was on disk"
        self.folders.remove(source)
        self.folders.add(target)
        for path in [path for path in self.files if path.parent == source]:
            self.files[target / path.name] = self.files.pop(path)

    def remove(self, folder: Path) -> None:
        self._step()
        if folder not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(folder))
        self.folders.remove(folder)
        self.files = {path: data for path, data in self.files.items() if path.parent != folder}

    def lost(self, folder: Path) -> set[Path]:
        files = {path for path in self.files if path.parent == folder}
        return {path for path in {*files, folder} if path not in self.synced}

    def content(self, folder: Path) -> dict[str, bytes] | None:
        """The files of a folder, or None where there is no such folder."""
        if folder not in self.folders:
            return None
        return {path.name: data for path, data in self.files.items() if path.parent == folder}

    def _step(self) -> None:
        number = self.operations
        self.operations += 1
        if self._fail_at is not None and (number == self._fail_at or (self._stays and number > self._fail_at)):
            raise self._error


def write_all(disk: Disk) -> None:
    with EvidenceFolder(PARENT, NAME, disk=disk) as folder:
        folder.write_json("kpi.json", {"net": 1})
        folder.write_text("report.html", "<html/>")
        folder.write_text("notes.txt", "µ")


def operations_of_a_whole_run() -> int:
    disk = FakeDisk()
    write_all(disk)
    assert disk.content(PARENT / NAME) == WHOLE
    assert PARENT in disk.synced
    return disk.operations


STEPS = operations_of_a_whole_run()

ERRORS: dict[str, BaseException] = {
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "broken": OSError(errno.EIO, "Input/output error"),
    "interrupted": KeyboardInterrupt(),
}


@pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("step", range(STEPS))
def test_after_a_failure_at_any_step_the_folder_is_whole_or_absent(step: int, error: BaseException, stays: bool) -> None:
    disk = FakeDisk(step, error, stays=stays)
    with pytest.raises((EvidenceNotWritten, UsageError, KeyboardInterrupt)):
        write_all(disk)
    content = disk.content(PARENT / NAME)
    assert content in (None, WHOLE)
    if not stays:
        assert len(disk.folders) == (1 if content is None else 2), "a leftover stayed behind"
    if step < STEPS - 1:
        assert content is None


def test_the_message_of_a_full_disk_says_what_is_there_and_what_to_do() -> None:
    with pytest.raises(EvidenceNotWritten, match=r"No space left on device; nothing is there under that name; free space"):
        write_all(FakeDisk(STEPS - 3, ERRORS["full"]))


def test_an_unconfirmed_name_is_reported_and_the_folder_stays() -> None:
    disk = FakeDisk(STEPS - 1, ERRORS["broken"])
    with pytest.raises(EvidenceNotWritten, match="there and whole"):
        write_all(disk)
    assert disk.content(PARENT / NAME) == WHOLE


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True), st.binary(max_size=50), max_size=5), st.data())
def test_any_content_is_whole_or_absent(files: dict[str, bytes], data: st.DataObject) -> None:
    step = data.draw(st.integers(0, 8 + 2 * len(files)))
    disk = FakeDisk(step, OSError(errno.ENOSPC, "No space left on device"), stays=data.draw(st.booleans()))
    try:
        with EvidenceFolder(PARENT, NAME, disk=disk) as folder:
            for name, content in files.items():
                folder.write_bytes(name, content)
    except (EvidenceNotWritten, UsageError):
        pass
    assert disk.content(PARENT / NAME) in (None, files)


def test_a_caller_who_goes_on_after_a_failure_gets_no_folder() -> None:
    disk = FakeDisk(3, ERRORS["full"])

    def go_on() -> None:
        with EvidenceFolder(PARENT, NAME, disk=disk) as folder:
            with pytest.raises(EvidenceNotWritten):
                folder.write_text("a", "1")
            folder.write_text("b", "2")

    with pytest.raises(EvidenceNotWritten):
        go_on()
    assert disk.content(PARENT / NAME) is None


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt, SystemExit])
def test_leaving_the_block_by_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def stop() -> None:
        with EvidenceFolder(tmp_path, NAME) as folder:
            folder.write_text("a.txt", "x")
            raise error

    with pytest.raises(error):
        stop()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_on_a_real_disk(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path, NAME) as folder:
        folder.write_text("a.txt", "µ")
        assert not (tmp_path / NAME).exists()
        assert folder.files["a.txt"].bytes == 2
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME / "a.txt").read_bytes() == "µ".encode()


def test_a_taken_name_gets_a_suffix(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        with EvidenceFolder(tmp_path, NAME) as folder:
            folder.write_text("a.txt", folder.run_id)
        names.append(folder.path.name)
    assert names == [NAME, f"{NAME}-2", f"{NAME}-3"]
    assert (tmp_path / NAME / "a.txt").read_text() == NAME


def test_two_runs_at_once_get_two_names(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path, NAME) as first, EvidenceFolder(tmp_path, NAME) as second:
        assert first.run_id != second.run_id
    assert len(list(tmp_path.iterdir())) == 2


def test_without_suffixes_a_taken_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="never overwritten"), EvidenceFolder(tmp_path, "mine", unique=False):
        pass


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def lose_the_name() -> None:
        with EvidenceFolder(tmp_path, NAME) as folder:
            folder.write_text("a.txt", "x")
            (tmp_path / NAME).mkdir()

    with pytest.raises(UsageError, match="took this name"):
        lose_the_name()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert list((tmp_path / NAME).iterdir()) == []


def test_a_missing_parent_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"), EvidenceFolder(tmp_path / "no", NAME):
        pass


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "ä", "a\n"])
def test_only_plain_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        EvidenceFolder(tmp_path, name)
    with EvidenceFolder(tmp_path, NAME) as folder, pytest.raises(ValueError, match="plain file name"):
        folder.write_text(name, "")


def test_each_file_is_written_once_and_within_the_block(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path, NAME) as folder:
        folder.write_text("a", "1")
        with pytest.raises(ValueError, match="written once"):
            folder.write_text("a", "2")
    with pytest.raises(ValueError, match="not open"):
        folder.write_text("b", "1")


def test_run_ids() -> None:
    assert run_id(1_709_384_400_999_999_999, "making", "5f2c9a0e" * 8) == NAME
    with pytest.raises(ValueError, match="strategy"):
        run_id(0, "Making/x", "0" * 64)
    with pytest.raises(ValueError, match="config_digest"):
        run_id(0, "making", "xyz")


def test_json_is_sorted_ascii_and_exact() -> None:
    class Colour(StrEnum):
        RED = "red"

    @dataclass
    class Point:
        y: Decimal
        x: object

    text = json_text({"µ": Point(Decimal("1.10"), np.int64(7)), "a": [Colour.RED, np.float64(0.1), None]})
    assert text.isascii()
    assert text.endswith("}\n")
    assert json.loads(text) == {"µ": {"x": 7, "y": "1.10"}, "a": ["red", 0.1, None]}
    assert text.index('"a"') < text.index("u00b5")
    assert text.index('"x"') < text.index('"y"')


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text({"a": float("nan")})
    with pytest.raises(TypeError, match="plain values"):
        json_text({"a": object()})


ROWS = np.array(
    [(5, 1, -3, 0.5, "x"), (6, 0, 4, np.nan, "µ")],
    [("exchange_ns", "i8"), ("instrument", "i4"), ("rate", "i8"), ("mid_usdt", "f8"), ("note", "U4")],
)


def test_parquet_keeps_values_names_and_metadata(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path, NAME) as folder:
        folder.write_parquet(
            "fills.parquet", ROWS, {"run_id": NAME}, names={"instrument": ("bybit:A", "upbit:B")}, rename={"rate": "rate_1e-12"}
        )
    table = parquet.read_table(folder.path / "fills.parquet")
    assert table.column_names == ["exchange_ns", "instrument", "rate_1e-12", "mid_usdt", "note"]
    assert pa.types.is_dictionary(table.schema.field("instrument").type)
    assert table["instrument"].to_pylist() == ["upbit:B", "bybit:A"]
    assert table["rate_1e-12"].to_pylist() == [-3, 4]
    assert table["note"].to_pylist() == ["x", "µ"]
    assert table.schema.metadata == {b"interlock.run_id": NAME.encode()}


def test_parquet_of_no_rows(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path, NAME) as folder:
        folder.write_parquet("fills.parquet", ROWS[:0], {}, names={"instrument": ()})
    assert parquet.read_table(folder.path / "fills.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("rows", "names", "rename", "problem"),
    [
        (np.zeros(3), {}, {}, "structured array"),
        (ROWS, {"venue": ("a",)}, {}, "expected the fields venue"),
        (ROWS, {"instrument": ("a",)}, {}, "within 0..0"),
        (ROWS, {"mid_usdt": ("a",)}, {}, "whole numbers"),
        (ROWS, {}, {"rate": "note"}, "distinct column names"),
        (np.zeros(1, [("a", "i8", (2,))]), {}, {}, "holds arrays"),
    ],
)
def test_parquet_refuses_what_does_not_fit(
    tmp_path: Path, rows: np.ndarray, names: dict[str, tuple[str, ...]], rename: dict[str, str], problem: str
) -> None:
    with EvidenceFolder(tmp_path, NAME) as folder, pytest.raises(ValueError, match=re.escape(problem)):
        folder.write_parquet("a.parquet", rows, {}, names=names, rename=rename)
