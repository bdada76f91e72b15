"""Lets atheris look for bytes that break an entry of `entries.py`.

    python -m tests.fuzz.run [--seconds N] [--dir DIR] [NAME ...]

runs each entry that is named (all, if none is) for so long, one after the other. An input that takes an entry longer than BOUND_S breaks it too.
DIR keeps what was found worth trying, and by the name of the entry what broke it (`NAME-crash-...`, `NAME-timeout-...`). `--one NAME DIR [FLAG ...]`
runs one in this process, with flags of libFuzzer; "all" is every entry, by the first byte of the input, "planted" and "hanging" are ones that break.
Exit 1 if anything broke.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
INSTRUMENTED = ["interlock.venues"]
COMPILED = [f"interlock.venues.{name}" for name in ("scanning", "row_book", "binance_usdm.hot", "bybit.hot", "upbit.hot")]
"""numba compiles these; their bytecode must stay as it is."""
LONGEST = 4096
BOUND_S = 10
"""An input takes milliseconds; one that takes so long hangs, also on a machine that is busy."""
ALL = "all"


def flags_of(name: str, folder: Path) -> list[str]:
    """What libFuzzer is told for an entry: what to begin with, where to keep what breaks it, and when an input counts as a hang."""
    return [str(folder / "corpus" / name), f"-artifact_prefix={folder / name}-", f"-max_len={LONGEST}", f"-timeout={BOUND_S}"]


def one(name: str, folder: Path, flags: list[str]) -> None:
    """Run an entry until the flags of libFuzzer end it; never returns."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, exclude=COMPILED):
        from tests.fuzz.entries import DEFECTS, ENTRIES

    names, entries = sorted(ENTRIES), ENTRIES | DEFECTS
    corpus = folder / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for each in names if name == ALL else [name]:
        mark = bytes((names.index(each),)) if name == ALL else b""
        for number, seed in enumerate(entries[each].seeds):
            (corpus / f"seed-{each}-{number}").write_bytes(mark + seed)

    def everything(data: bytes) -> None:
        if data:
            entries[names[data[0] % len(names)]].hold(data[1:])

    def single(data: bytes) -> None:
        entries[name].hold(data)

    for each in names if name == ALL else [name]:
        for seed in entries[each].seeds:
            entries[each].hold(seed)  # what is compiled when it is first called takes its time before the bound holds
    atheris.Setup([sys.argv[0], *flags_of(name, folder), *flags], everything if name == ALL else single)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Each entry in a process of its own."""
    if arguments[:1] == ["--one"]:
        one(arguments[1], Path(arguments[2]), arguments[3:])
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--dir", type=Path, default=REPOSITORY / ".fuzz")
    asked = parser.parse_args(arguments)
    from tests.fuzz.entries import ENTRIES

    broke = []
    for name in asked.names or sorted(ENTRIES):
        sys.stdout.write(f"fuzz: {name}, {asked.seconds} s\n")
        sys.stdout.flush()
        command = [sys.executable, "-m", "tests.fuzz.run", "--one", name, str(asked.dir)]
        if subprocess.run([*command, f"-max_total_time={asked.seconds}"], cwd=REPOSITORY, check=False).returncode:
            broke.append(name)
    sys.stdout.write(f"fuzz: broken: {', '.join(broke) or 'none'}; what broke them is in {asked.dir}\n")
    return 1 if broke else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
