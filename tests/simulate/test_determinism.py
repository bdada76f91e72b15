"""The same run in two processes gives the same bytes, and the second one compiles nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = """
import hashlib, json
from interlock.simulate.fast import replay_fast
from interlock.simulate.loop import run_block
from interlock.market.compiled import cache_dir
from tests.simulate.test_fast_full import busy
setup, strategy = busy()
out = replay_fast(setup.world(strategy), strategy.kernel)
parts = [a.tobytes() for a in (out.fills, out.orders, out.samples, out.fundings)] + [json.dumps(out.counts).encode()]
stats = run_block.stats
print(json.dumps({"digest": hashlib.sha256(b"".join(parts)).hexdigest(), "fills": len(out.fills), "cache": str(cache_dir()),
                  "hits": sum(stats.cache_hits.values()), "misses": sum(stats.cache_misses.values())}))
"""


def run(cache: Path) -> dict[str, Any]:
    environment = os.environ | {"INTERLOCK_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_two_processes_agree_and_the_second_finds_what_the_first_compiled(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert Path(first["cache"]).is_relative_to(tmp_path)
    assert (first["hits"], first["misses"]) == (0, 1)
    assert (second["hits"], second["misses"]) == (1, 0)
    assert first["digest"] == second["digest"]
    assert first["fills"] > 100
