from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from tests.market.tapes import BTC, KRW_BTC, random_rows

from interlock.domain.errors import BadInput, UsageError
from interlock.market.columns import TAPE_VERSION
from interlock.market.tape import Tape
from interlock.market.tape_info import DepthInterval
from interlock.market.tape_parquet import METADATA_KEY, export_parquet, import_parquet
from interlock.market.tape_write import write_tape


def exported(folder: Path, seed: int = 1, count: int = 50) -> tuple[Path, Path]:
    tape = write_tape(
        folder / "t",
        random_rows(seed, count, 2),
        [BTC, KRW_BTC],
        "synthetic",
        depth_interval_ms={BTC.key: DepthInterval(declared_ms=0, measured_ms=52.0)},
    )
    with Tape.open(tape) as opened:
        return tape, export_parquet(opened, folder / "t.parquet")


@given(st.integers(0, 2**32), st.integers(0, 80))
def test_a_tape_comes_back_from_parquet(tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
    folder = tmp_path_factory.mktemp("parquet")
    first, file = exported(folder, seed, count)
    second = import_parquet(file, folder / "again")
    with Tape.open(first) as a, Tape.open(second, verify_digests=True) as b:
        assert np.array_equal(a.rows, b.rows)
        assert a.instruments == b.instruments
        assert (a.info.clock, a.info.depth_interval_ms, a.info.provenance, a.info.kinds) == (
            b.info.clock,
            b.info.depth_interval_ms,
            b.info.provenance,
            b.info.kinds,
        )
        orders = [t.exchange_order if t.exchange_order is None else t.exchange_order.tolist() for t in (a, b)]
        assert orders[0] == orders[1]


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    tape, file = exported(tmp_path)
    before = file.read_bytes()
    with Tape.open(tape) as opened, pytest.raises(UsageError, match="expected a new file"):
        export_parquet(opened, file)
    assert file.read_bytes() == before
    with Tape.open(tape) as opened, pytest.raises(UsageError, match="cannot be written"):
        export_parquet(opened, tmp_path / "absent" / "t.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "t.parquet"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    _, file = exported(tmp_path)
    table = parquet.read_table(file)
    metadata = table.schema.metadata
    text = metadata[METADATA_KEY]
    newer = text.replace(f'"version":{TAPE_VERSION}'.encode(), f'"version":{TAPE_VERSION + 1}'.encode())
    floats = table.set_column(2, "ticks", table["ticks"].cast(pa.float64()))
    many = table["instrument"].to_numpy() + 7
    for name, bad, problem in (
        ("foreign", table.replace_schema_metadata({}), "interlock.tape"),
        ("newer", table.replace_schema_metadata({METADATA_KEY: newer}), "tape version"),
        ("broken", table.replace_schema_metadata({METADATA_KEY: text[:50]}), "schema metadata"),
        ("short", table.slice(0, 10), "expected 50 whole rows"),
        ("less", table.drop_columns(["ticks"]), "columns"),
        ("floats", floats.replace_schema_metadata(metadata), "columns"),
        ("beyond", table.set_column(5, table.schema.field(5), pa.array(many)), "instrument numbers below"),
    ):
        parquet.write_table(bad, tmp_path / f"{name}.parquet")
        with pytest.raises(BadInput, match=problem):
            import_parquet(tmp_path / f"{name}.parquet", tmp_path / "out")
    (tmp_path / "text.parquet").write_text("no")
    for path in (tmp_path / "text.parquet", tmp_path / "absent.parquet"):
        with pytest.raises(BadInput, match="expected a Parquet file"):
            import_parquet(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    import_parquet(file, tmp_path / "out")
