"""What a grant is bound to of what decides: sources of kernels and engine, and the configuration with its parameters."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from tests.gate import arming_world as aw

import interlock
from interlock.cli.gate import serve
from interlock.domain.errors import UsageError
from interlock.gate.limit_sheet import load
from interlock.gate.permission import Denial, May, permission
from interlock.gate.records import Level
from interlock.run.build import build_hash, strategy_digest
from interlock.run.config import load_config
from interlock.run.gate_config import GateConfig, tags_of
from interlock.run.gate_launch import example_limits, prepare

PACKAGE = Path(interlock.__file__).parent
EXAMPLE = PACKAGE / "run" / "examples" / "making-synthetic.toml"


@pytest.mark.parametrize("changed", ["strategies/making.py", "engine/side.py", "market/book.py", "simulate/hold.py"])
def test_another_kernel_or_engine_is_another_strategy(tmp_path: Path, changed: str) -> None:
    base = tmp_path / "interlock"
    shutil.copytree(PACKAGE, base, ignore=shutil.ignore_patterns("__pycache__"))
    before = strategy_digest("c", base)
    assert before == strategy_digest("c") == strategy_digest("c", base)
    (base / "cli" / "version.py").write_text("# nothing that decides", encoding="utf-8")
    assert strategy_digest("c", base) == before
    with (base / changed).open("a", encoding="utf-8") as file:
        file.write("\n# another")
    assert strategy_digest("c", base) != before
    assert strategy_digest("c") != build_hash()


def test_another_parameter_is_another_strategy_and_a_comment_is_none(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text(f"# a comment\n{text}", encoding="utf-8")
    changed = text.replace("order_lots = 30", "order_lots = 29")
    assert changed != text
    other.write_text(changed, encoding="utf-8")
    told = [strategy_digest(load_config(path).digest) for path in (EXAMPLE, same, other)]
    assert told[0] == told[1] != told[2]


def test_a_grant_does_not_hold_for_another_strategy() -> None:
    def of(digest: str) -> str:
        config = GateConfig(
            folder=Path("/f"),
            sockets=Path("/s"),
            memory=Path("/m"),
            limits=Path("/l"),
            venues=(),
            tags={"demo": "demo"},
            strategies={"demo": digest},
            users=(0,),
            checker_fd=-1,
        )
        return config.strategy_hash()

    granted = aw.binding(strategy=of("a" * 64))
    machine, minted = aw.armed_machine(aw.situation(binding=granted))
    for digest, may, denial in (("a", May.NEW_RISK, None), ("b", May.NOTHING, Denial.OTHER_STRATEGY)):
        now = msgspec.structs.replace(granted, strategy=of(digest * 64))
        found = permission(minted.live, machine.arming, Level.RUN, aw.BOOT_NS, now, aw.SYMBOL, read_only=False)
        assert (found.may, found.denial) == (may, denial)


@pytest.mark.parametrize(
    ("strategies", "said"), [({"nobody": "a" * 64}, "expected one of the limits"), ({"": "b"}, "expected 64 hexadecimal digits")]
)
def test_what_is_no_digest_of_a_strategy_is_refused_before_anything_starts(tmp_path: Path, strategies: dict[str, str], said: str) -> None:
    (known, *_) = tags_of(load(example_limits()))
    with pytest.raises(UsageError, match=said):
        prepare(tmp_path / "gate", None, strategies={name or known: digest for name, digest in strategies.items()})
    assert not (tmp_path / "gate").exists()


def test_a_digest_is_told_by_the_name_of_its_strategy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--strategy: expected NAME=DIGEST, found 'demo'"):
        serve(dir=tmp_path / "gate", strategy=["demo"])
    with pytest.raises(UsageError, match="--strategy demo: expected 64 hexadecimal digits, found 'b=c'"):
        serve(dir=tmp_path / "gate", strategy=["demo=b=c"])
    assert not (tmp_path / "gate").exists()
