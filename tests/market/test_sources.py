import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import BadInput
from interlock.market import sources
from interlock.market.raw_store import BLOCK_BYTES, RawReader, RawWriter
from interlock.market.sources import Source


@pytest.mark.parametrize("members", [0, 1, 3])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_of_plain_and_compressed_files(tmp_path: Path, members: int, end: bytes) -> None:
    text = b"one\n\ntwo" + b"x" * (2 * sources.PIECE_BYTES) + b"\nthree" + end
    third = len(text) // 3
    pieces = [text] if members < 2 else [text[:third], text[third : 2 * third], text[2 * third :]]
    data = text if members == 0 else b"".join(gzip.compress(piece) for piece in pieces)
    (tmp_path / "f").write_bytes(data)
    told: list[int] = []
    kept = bytearray()
    source = Source(tmp_path / "f", told.append)
    lines = list(source.lines(kept.extend))
    assert [line for _, _, line in lines] == text.removesuffix(b"\n").split(b"\n")
    assert [number for number, _, _ in lines] == [1, 2, 3, 4]
    assert all(text[offset : offset + len(line)] == line for _, offset, line in lines)
    assert bytes(kept) == text
    assert (source.sha256, source.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sum(told) == len(data)


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip archive of these files."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return whole.getvalue()


def test_lines_of_a_zip_archive(tmp_path: Path) -> None:
    text = b"one\r\n" + b"x" * (2 * sources.PIECE_BYTES) + b"\nthree\n"
    data = zipped(("a.data", text))
    (tmp_path / "f").write_bytes(data)
    told: list[int] = []
    kept = bytearray()
    source = Source(tmp_path / "f", told.append)
    assert [line for _, _, line in source.lines(kept.extend)] == text.removesuffix(b"\n").split(b"\n")
    assert bytes(kept) == text
    assert (source.sha256, source.bytes, sum(told)) == (hashlib.sha256(data).hexdigest(), len(data), len(data))


@pytest.mark.parametrize("members", [[], [("a", b"1"), ("b", b"2")]])
def test_a_zip_archive_of_one_file_only(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    # an archive of nothing begins with its end
    (tmp_path / "f").write_bytes(zipped(*members).replace(b"PK\x05\x06", b"PK\x03\x04PK\x05\x06") if not members else zipped(*members))
    with pytest.raises(BadInput, match=f"zip archive of one file, found {len(members)}"):
        list(Source(tmp_path / "f").lines())


@given(st.data())
def test_a_zip_archive_with_any_byte_changed_reads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = b"line\n" * 100
    whole = bytearray(zipped(("a.data", text)))
    at = data.draw(st.integers(4, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("zip") / "f"
    path.write_bytes(whole[: data.draw(st.sampled_from([len(whole), at]))])
    try:
        lines = [line for _, _, line in Source(path).lines()]
    except BadInput:
        return
    assert b"\n".join(lines) + b"\n" == text


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)])
def test_an_empty_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(BadInput, match="empty"):
        list(Source(tmp_path / "f").lines())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        list(Source(tmp_path / "f").lines())


def test_damage_in_the_middle_of_compressed_data(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"line\n" * 1000))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(BadInput, match="damage"):
        list(Source(tmp_path / "f").lines())


@given(st.binary(max_size=3000), st.integers(0, 5), st.integers(0, 3000), st.integers(0, 3000))
def test_any_span_of_stored_bytes_reads_back(
    tmp_path_factory: pytest.TempPathFactory, pattern: bytes, repeats: int, offset: int, length: int
) -> None:
    data = pattern * repeats * 400
    path = tmp_path_factory.mktemp("raw") / "0.zst"
    writer = RawWriter(path)
    for start in range(0, len(data), 300_000):
        writer.write(data[start : start + 300_000])
    writer.close()
    reader = RawReader(path)
    assert reader.size == len(data)
    offset = min(offset * 700, len(data))
    length = min(length * 700, len(data) - offset)
    assert reader.read(offset, length) == data[offset : offset + length]
    reader.close()


def test_a_span_over_several_blocks(tmp_path: Path) -> None:
    data = bytes(range(256)) * (3 * BLOCK_BYTES // 256)
    writer = RawWriter(tmp_path / "0.zst")
    writer.write(data)
    writer.close()
    reader = RawReader(tmp_path / "0.zst")
    assert reader.read(5, len(data) - 10) == data[5:-5]
    reader.close()
