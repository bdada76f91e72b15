"""Lets atheris look for bytes that break an entry of `entries.py`.

    python -m tests.fuzz.run [--seconds N] [--dir DIR] [NAME ...]

runs each entry that is named (all, if none is) for so long, one after the other. DIR keeps what was found worth trying, and by the name of the entry
what broke it. `--one NAME DIR [FLAG ...]` runs one in this process, with flags of libFuzzer; "all" is every entry, by the first byte of the input,
and "planted" one that breaks.
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
ALL = "all"


def one(name: str, folder: Path, flags: list[str]) -> None:
    """Run an entry until the flags of libFuzzer end it; never returns."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, exclude=COMPILED):
        from tests.fuzz.entries import ENTRIES, PLANTED

    names, entries = sorted(ENTRIES), ENTRIES | {"planted": PLANTED}
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

    given = [sys.argv[0], str(corpus), f"-artifact_prefix={folder / name}-", f"-max_len={LONGEST}", "-timeout=30", *flags]
    atheris.Setup(given, everything if name == ALL else single)
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
