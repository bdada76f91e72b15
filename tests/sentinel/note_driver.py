"""A sentinel as a process whose luck is chosen: `python note_driver.py CONFIG WAY`.

`plain`: like any other. `word`: it dies by SIGKILL right after it has set the word, before anything is noted. `stalled`: the disk never comes back
from its first note.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from tests.sentinel.note_disks import StalledDisk

from interlock.sentinel.config import read_config
from interlock.sentinel.process import Process, boot_ns


def run(config: str, way: str) -> None:
    made: list[Process] = []

    def now_ns() -> int:
        # The clock is read next after the word is set, for the event that says so.
        if way == "word" and made and made[0].sentinel.word is not None and made[0].sentinel.word.stopped:
            os.kill(os.getpid(), signal.SIGKILL)
        return boot_ns()

    made.append(Process(read_config(config), now_ns, StalledDisk() if way == "stalled" else None))
    sys.stdout.write(json.dumps({"socket": str(made[0].path)}) + "\n")
    sys.stdout.flush()
    made[0].run()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
