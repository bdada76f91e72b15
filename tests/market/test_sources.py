import gzip
import hashlib
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


@pytest.mark.parametrize("data", [b"", gzip.compress(b"")])
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
