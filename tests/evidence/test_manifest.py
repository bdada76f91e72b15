import hashlib
import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import DamagedState
from interlock.evidence.folder import EvidenceFolder
from interlock.evidence.manifest import (
    FeeStamp,
    LatencyStamp,
    Manifest,
    ModelStamps,
    TapeStamp,
    digest_of,
    facts,
    read_manifest,
    timestamp,
    verify_files,
    write_manifest,
)
from interlock.evidence.manifest_sources import LOCK, CodeStamp, MachineStamp, SystemSurroundings, code_stamp, machine_stamp

COMMIT = "8d1f" * 10


class FakeSurroundings:
    """Known answers; `repository` says whether git tracks the package, `lock` is the lock file's content."""

    def __init__(self, *, repository: bool = True, changes: str = "", lock: bytes | None = b"numba==1\n") -> None:
        self._repository = repository
        self._changes = changes
        self._lock = lock

    def git(self, folder: Path, *arguments: str) -> str | None:
        if not self._repository:
            return None
        return {"ls-files": "__init__.py\n", "rev-parse": f"{COMMIT}\n", "status": self._changes}[arguments[0]]

    def read(self, path: Path) -> bytes | None:
        return self._lock if path.as_posix().endswith(LOCK) else None

    def distributions(self) -> list[tuple[str, str]]:
        return [("Typing_Extensions", "4.0"), ("numba", "0.68.1"), ("numba", "0.68.1")]

    def version(self) -> str:
        return "0.1.0"

    def python(self) -> str:
        return "CPython 3.11.7"

    def compiler(self) -> tuple[str, str, str]:
        return "0.68.1", "22.1.0", "generic"

    def platform(self) -> str:
        return "Linux x86_64"


PACKAGE = Path("checkout/src/interlock")

MODEL = ModelStamps(
    queue_model="risk_averse",
    partial_fills=True,
    latency={"bybit": LatencyStamp(order="constant 2 ms", cancel="constant 2 ms", response="constant 1 ms", feed="measured")},
    feed_latency="measured",
    depth_interval_ms={"bybit:BTCUSDT": 20.0, "bybit:ETHUSDT": None},
    rate_limits="on",
    fees={
        "bybit:BTCUSDT": FeeStamp(
            profile="base", maker="0.0002", taker="0.00055", source="fee page", as_of="2024-03-01", condition="none", assumed=False
        )
    },
    funding="tape",
    fx_source="none",
    instrument="known",
    flow_venue="bybit",
    fee_venue="bybit",
    latency_source="this tape's feed",
    provenance="real",
)


def manifest_of(folder: EvidenceFolder) -> Manifest:
    return Manifest(
        run_id=folder.run_id,
        mode="replay",
        endpoints=None,
        strategy="making",
        config_digest=digest_of({"a": 1}),
        code=code_stamp(PACKAGE, FakeSurroundings()),
        machine=machine_stamp(PACKAGE, FakeSurroundings()),
        tapes=(TapeStamp(name="day", sha256="c0" * 32, provenance="real"),),
        seed=7,
        model=MODEL,
        start_ns=1_709_384_400_000_000_000,
        end_ns=1_709_384_401_123_456_789,
        start_timestamp=timestamp(1_709_384_400_000_000_000),
        end_timestamp=timestamp(1_709_384_401_123_456_789),
        files=folder.files,
    )


def written(tmp_path: Path) -> Path:
    with EvidenceFolder(tmp_path, "run") as folder:
        folder.write_text("a.txt", "hello")
        write_manifest(folder, manifest_of(folder))
    return folder.path


def test_a_manifest_reads_back_and_pins_the_files(tmp_path: Path) -> None:
    path = written(tmp_path)
    manifest = read_manifest(path)
    assert manifest.model == MODEL
    assert manifest.files["a.txt"].sha256 == hashlib.sha256(b"hello").hexdigest()
    verify_files(path, manifest)
    plain = json.loads((path / "manifest.json").read_text())
    assert plain["manifest_schema"] == 1
    assert plain["endpoints"] is None
    assert plain["end_timestamp"] == "2024-03-02T13:00:01.123456Z"
    assert plain["model"]["depth_interval_ms"] == {"bybit:BTCUSDT": 20.0, "bybit:ETHUSDT": None}


def test_a_manifest_must_speak_of_its_folder(tmp_path: Path) -> None:
    with EvidenceFolder(tmp_path, "run") as folder:
        manifest = manifest_of(folder)
        with pytest.raises(ValueError, match="run_id"):
            write_manifest(folder, msgspec.structs.replace(manifest, run_id="other"))
        folder.write_text("late.txt", "")
        with pytest.raises(ValueError, match="last other file"):
            write_manifest(folder, manifest)


def test_damage_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    manifest = read_manifest(path)
    (path / "a.txt").write_text("hullo")
    with pytest.raises(DamagedState, match=r"a\.txt: expected 5 bytes"):
        verify_files(path, manifest)
    (path / "b.txt").write_text("")
    with pytest.raises(DamagedState, match=r"b\.txt.*does not list"):
        verify_files(path, manifest)
    (path / "b.txt").unlink()
    (path / "a.txt").unlink()
    with pytest.raises(DamagedState, match=r"a\.txt.*missing"):
        verify_files(path, manifest)


@pytest.mark.parametrize("change", [("manifest_schema", 2), ("seed", None), ("surprise", 1)])
def test_another_schema_is_damage(tmp_path: Path, change: tuple[str, object]) -> None:
    path = written(tmp_path)
    plain = json.loads((path / "manifest.json").read_text())
    plain[change[0]] = change[1]
    (path / "manifest.json").write_text(json.dumps(plain))
    with pytest.raises(DamagedState, match="schema"):
        read_manifest(path)


def test_a_missing_manifest_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedState, match="expected a manifest"):
        read_manifest(tmp_path)


def test_the_digest_is_of_canonical_json() -> None:
    expected = hashlib.sha256(rb'{"a":[1,2.5,null],"b":{"rate":"0.10","\u00b5":true}}').hexdigest()
    assert digest_of({"b": {"µ": True, "rate": Decimal("0.10")}, "a": (1, 2.5, None)}) == expected


CONFIGS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), CONFIGS, max_size=4))
def test_the_digest_ignores_the_order_of_keys_and_nothing_else(config: dict[str, object]) -> None:
    assert digest_of(dict(reversed(config.items()))) == digest_of(config)
    assert digest_of({**config, "another key": 1}) != digest_of(config)


def test_the_digest_refuses_what_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_of({"a": float("inf")})
    with pytest.raises(TypeError):
        digest_of({"a": object()})


@pytest.mark.parametrize(("changes", "dirty"), [("", False), (" M cli/main.py\n", True)])
def test_code_in_a_checkout_names_its_commit(changes: str, dirty: bool) -> None:
    assert code_stamp(PACKAGE, FakeSurroundings(changes=changes)) == CodeStamp(version="0.1.0", git_commit=COMMIT, git_dirty=dirty)


def test_code_outside_a_checkout_has_no_commit() -> None:
    assert code_stamp(PACKAGE, FakeSurroundings(repository=False)) == CodeStamp(version="0.1.0", git_commit=None, git_dirty=None)


def test_the_lock_is_the_file_or_what_is_installed() -> None:
    of_file = machine_stamp(PACKAGE, FakeSurroundings())
    assert (of_file.dependency_lock_of, of_file.dependency_lock_sha256) == (LOCK, hashlib.sha256(b"numba==1\n").hexdigest())
    installed = machine_stamp(PACKAGE, FakeSurroundings(lock=None))
    assert installed.dependency_lock_of == "installed distributions"
    assert installed.dependency_lock_sha256 == hashlib.sha256(b"numba==0.68.1\ntyping-extensions==4.0\n").hexdigest()


def test_facts_name_every_stamp(tmp_path: Path) -> None:
    lines = dict(facts(read_manifest(written(tmp_path))))
    assert lines["endpoints"] == "none"
    assert lines["code.git_dirty"] == "no"
    assert lines["tapes.1.name"] == "day"
    assert lines["model.depth_interval_ms.bybit:ETHUSDT"] == "unknown"
    assert lines["model.fees.bybit:BTCUSDT.maker"] == "0.0002"
    assert lines["files"].startswith("1,")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_real_checkout(tmp_path: Path) -> None:
    package = tmp_path / "src" / "interlock"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    ask = SystemSurroundings()
    git(tmp_path, "init")
    assert code_stamp(package, ask).git_commit is None, "a package that the repository does not track is not its code"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    clean = code_stamp(package, ask)
    assert clean.git_commit is not None
    assert clean.git_dirty is False
    (tmp_path / "notes.txt").write_text("outside of the package")
    assert code_stamp(package, ask) == clean
    (package / "new.py").write_text("")
    assert code_stamp(package, ask).git_dirty is True
    (tmp_path / "requirements").mkdir()
    (tmp_path / LOCK).write_text("lock")
    assert machine_stamp(package, ask).dependency_lock_of == LOCK


def test_the_machine_answers(tmp_path: Path) -> None:
    stamp = machine_stamp(tmp_path / "src" / "interlock", SystemSurroundings())
    assert isinstance(stamp, MachineStamp)
    assert stamp.dependency_lock_of == "installed distributions"
    assert all((stamp.python, stamp.numba, stamp.llvm, stamp.cpu, stamp.platform))
