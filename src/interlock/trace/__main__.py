"""`python -m interlock.trace JOURNAL_DIR [--witness FILE] [--facts FILE] [--beat-ms N]`: read along for a gate, and print a line of JSON a beat.

The same as `interlock trace watch`, without the command's dependencies, and patient: a journal that is not there yet is waited for. It ends when
nobody can hear its beats any more, at once and whatever it is doing, so that it does not outlive the gate that it beats for.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from interlock.domain.clock import NS_PER_MS, NS_PER_S, SystemClock
from interlock.domain.errors import BadInput, InterlockError
from interlock.trace.facts import read_facts
from interlock.trace.watch import Beat, Watcher


def _say(beat: Beat) -> None:
    sys.stdout.write(json.dumps(beat.as_map(), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _first_beat(directory: Path, options: argparse.Namespace, pause_s: float) -> Watcher:
    """A watcher that has read the journal's beginning, as soon as there is one."""
    while True:
        watcher = Watcher(directory, SystemClock(), witness=options.witness, facts=read_facts(options.facts), again=options.again)
        try:
            _say(watcher.step())
            return watcher
        except BadInput:
            watcher.close()
            if any(directory.glob("*.seg*")):
                raise
            time.sleep(pause_s)


def _end_unheard(descriptor: int) -> None:
    """Wait until nobody reads from a pipe any more, and then end this process."""
    listener = select.poll()
    listener.register(descriptor, 0)  # nothing is asked for; that the other end is closed is told in any case
    listener.poll()
    os._exit(0)


def main(argv: Sequence[str]) -> int:
    """Watch until nobody listens; returns the exit code: 0, or that of what could not be read."""
    parser = argparse.ArgumentParser(prog="python -m interlock.trace", description="Read along with a gate's journal and beat.")
    parser.add_argument("journal", type=Path)
    parser.add_argument("--witness", type=Path)
    parser.add_argument("--facts", type=Path)
    parser.add_argument("--again", action="store_true", help="another one read this life of the journal before")
    parser.add_argument("--beat-ms", type=int, default=200)
    options = parser.parse_args(argv)
    pause_s = options.beat_ms * NS_PER_MS / NS_PER_S
    try:
        _first_beat(options.journal, options, pause_s).run(_say, pause=lambda: time.sleep(pause_s))
    except InterlockError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    threading.Thread(target=_end_unheard, args=(sys.stdout.fileno(),), name="end-unheard", daemon=True).start()
    sys.exit(main(sys.argv[1:]))
