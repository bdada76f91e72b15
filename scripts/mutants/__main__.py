"""`python -m scripts.mutants`: make mutants of the gate's sources and say which of them no test notices.

Exit codes: 0 every mutant was killed or is justified; 1 some survived, or a semantic mutant did; 2 wrong usage, or the tests do not pass unchanged.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from scripts.mutants import kept
from scripts.mutants.judge import Judge, surveyed
from scripts.mutants.kept import Keeper, Names
from scripts.mutants.operators import Mutant, mutants
from scripts.mutants.rooms import ROOMS, path_of, tests_in
from scripts.mutants.trees import REPOSITORY, Nursery, Outcome, Tree, copied, revision
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.semantic import SEMANTIC, Semantic


class Job(NamedTuple):
    """One mutant of one source, or one semantic mutant. `name` is what it is kept under; empty for what is judged each time."""

    file: str
    source: str
    mutant: Mutant | Semantic
    name: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for."""
    options = _options(arguments)
    chosen = [
        path_of(module)
        for room, modules in ROOMS.items()
        for module in modules
        if not options.module or {room, module + ".py"} & set(options.module)
    ]
    wanted = [] if options.semantic else chosen
    sources = {file: (REPOSITORY / file).read_text(encoding="utf-8") for file in wanted}
    found = {file: mutants(source) for file, source in sources.items()}
    picked = list(_sampled(found, options.sample, options.seed))
    names = {file: Names(file, source) for file, source in sources.items()}
    known = kept.read(Path(options.keep), survivors=options.only_kept) if options.keep else {}
    every = [Job(file, sources[file], mutant, names[file].of(mutant)) for file, mutant in picked]
    jobs = [job for job in every if job.name not in known]
    not_judged: Counter[str] = Counter()
    if options.only_kept:
        not_judged, jobs = Counter(job.file for job in jobs), []
    if options.semantic or not options.module:
        jobs += [Job(s.file, (REPOSITORY / s.file).read_text(encoding="utf-8"), s) for s in SEMANTIC]
    started = time.monotonic()
    commit, clean = revision()
    try:
        with ExitStack() as stack:
            keeper = stack.enter_context(closing(Keeper(Path(options.keep), commit))) if options.keep else None
            outcomes, unsteady = _run(jobs, options, keeper)
    except RuntimeError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    outcomes += [(job, known[job.name].outcome) for job in every if job.name in known]
    result = report(outcomes, time.monotonic() - started)
    result |= {"commit": commit, "clean": clean}
    if options.keep:
        judged = [job for job in every if job.name in known or not options.only_kept]
        result["judged_at"] = dict(Counter(known[job.name].commit if job.name in known else commit for job in judged))
    if options.only_kept:
        result["not_judged"] = dict(sorted(not_judged.items()))
    result["unsteady"] = list(unsteady)
    if options.budget < float("inf"):
        result["budget_s"] = options.budget
    if options.sample:
        result["sample"] = {"each": options.sample, "seed": options.seed}
    if options.onto:
        result = onto(json.loads(Path(options.onto).read_text(encoding="utf-8")), result)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _print(result)
    return 1 if result["survivors"] or any(s["outcome"] == "survived" for s in result["semantic"]) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutants", description="Mutation testing of the gate; see docs/mutants.md.")
    names = [*ROOMS, *(f"{module}.py" for modules in ROOMS.values() for module in modules)]
    parser.add_argument(
        "--module",
        action="append",
        choices=names,
        metavar="NAME",
        help="a room (limits) or a module of one (evaluate.py); may be given again; default: all",
    )
    parser.add_argument("--semantic", action="store_true", help="the semantic mutants only")
    parser.add_argument(
        "--sample", type=int, default=0, metavar="N", help="so many mutants of each module, drawn by the seed; default: all"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tests", action="append", metavar="PATH", help="files or folders of tests; default: those of the gate")
    parser.add_argument(
        "--keep", metavar="FILE", help="where outcomes are kept: a run that was cut off goes on, and only what survived is judged again"
    )
    parser.add_argument(
        "--only-kept", action="store_true", help="judge no mutant: tell what is kept of the present text, and of how many nothing is"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=float("inf"),
        metavar="SECONDS",
        help="how long the tests of one mutant may take together, the slowest left out; what survives is to be tried again without it",
    )
    parser.add_argument("--json", metavar="FILE", help="where to write the result")
    parser.add_argument("--onto", metavar="FILE", help="an earlier result: what was not asked for now is told as it stands there")
    return parser.parse_args(arguments)


def _sampled(found: dict[str, list[Mutant]], each: int, seed: int) -> Iterator[tuple[str, Mutant]]:
    for file, all_of_it in found.items():
        some = random.Random(f"{seed} {file}").sample(all_of_it, min(each, len(all_of_it))) if each else all_of_it
        for mutant in sorted(some):
            yield file, mutant


def _run(jobs: list[Job], options: argparse.Namespace, keeper: Keeper | None) -> tuple[list[tuple[Job, Outcome]], tuple[str, ...]]:
    """Judge every job; how each ended, and the tests that were left out. Each worker has its own copy of the tree and its own processes."""
    if not jobs:
        return [], ()
    tests, workers = options.tests or tests_in(REPOSITORY), options.workers
    waiting: SimpleQueue[Job] = SimpleQueue()
    for job in jobs:
        waiting.put(job)
    done: list[tuple[Job, Outcome]] = []
    failed: list[BaseException] = []

    def work(judge: Judge) -> None:
        try:
            while not failed:
                job = waiting.get_nowait()
                outcome = _judged(judge, job)
                if keeper is not None and job.name:
                    keeper.add(job.name, outcome)
                done.append((job, outcome))
        except Empty:
            return
        except BaseException as error:  # noqa: BLE001 - raised below by the thread that waits
            failed.append(error)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="m-")))
        trees = [copied(folder, number) for number in range(max(1, min(workers, len(jobs))))]
        nurseries = [(stack.enter_context(_nursery(t, "warm", tests)), stack.enter_context(_nursery(t, "cold", []))) for t in trees]
        print("mutants: running every test unchanged, twice", file=sys.stderr)
        survey = surveyed(trees[0], *nurseries[0], sorted({job.file for job in jobs}))
        for name in survey.unsteady:
            print(f"mutants: left out, because it failed without a mutant: {name}", file=sys.stderr)
        judges = [Judge(tree, *both, survey, options.budget) for tree, both in zip(trees, nurseries, strict=True)]
        threads = [threading.Thread(target=work, args=(judge,)) for judge in judges]
        for thread in threads:
            thread.start()
        try:
            _watch(threads, done, len(jobs))
        except KeyboardInterrupt:
            failed.append(RuntimeError(f"interrupted after {len(done)} of {len(jobs)}"))
    if failed:
        raise failed[0]
    return done, survey.unsteady


def _nursery(tree: Tree, mode: str, tests: list[str]) -> Nursery:
    return Nursery(tree.path, tree.temporary, mode, tests)


def _judged(judge: Judge, job: Job) -> Outcome:
    if isinstance(job.mutant, Mutant):
        return judge.judge(job.file, job.source, job.mutant)
    return judge.semantic(job.file, job.mutant.applied(job.source), list(job.mutant.tests))


def _watch(threads: list[threading.Thread], done: list[tuple[Job, Outcome]], total: int) -> None:
    """Say how far it is, every few seconds."""
    for thread in threads:
        while thread.is_alive():
            thread.join(10.0)
            counts = Counter(outcome.outcome for _, outcome in done.copy())
            print(f"mutants: {len(done)} of {total}, {counts['survived']} survived, {counts['timed out']} timed out", file=sys.stderr)


def report(outcomes: list[tuple[Job, Outcome]], seconds: float) -> dict[str, Any]:
    """The result as it is written down: figures by module, each survivor that nothing justifies, each semantic mutant."""
    modules: dict[str, Counter[str]] = {}
    survivors, semantic = [], []
    for job, outcome in outcomes:
        if isinstance(job.mutant, Semantic):
            semantic.append({"name": job.mutant.name, "outcome": outcome.outcome, "by": outcome.by})
            continue
        counts = modules.setdefault(job.file, Counter())
        counts["mutants"] += 1
        counts["milliseconds"] += round(outcome.seconds * 1000)
        what = outcome.outcome
        if what == "survived":
            key = (job.file, job.mutant.function, job.mutant.at, job.mutant.before, job.mutant.after)
            if key in {(e.file, e.function, e.at, e.before, e.after) for e in EQUIVALENT}:
                what = "justified"
            else:
                survivors.append(dict(zip(("file", "function", "at", "before", "after"), key, strict=True), line=job.mutant.line))
        counts[what.replace(" ", "_")] += 1
    names = ("mutants", "killed", "timed_out", "justified", "survived", "milliseconds")
    return {
        "python": platform.python_version(),
        "seconds": round(seconds),
        "modules": {file: {name: counts[name] for name in names} for file, counts in sorted(modules.items())},
        "survivors": sorted(survivors, key=lambda s: (str(s["file"]), int(str(s["line"])), str(s["before"]), str(s["after"]))),
        "semantic": sorted(semantic, key=lambda s: s["name"]),
    }


def onto(earlier: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """A result with what an earlier one tells of other modules. `earlier` says of which, at which commit, and where its mutants had been judged."""
    now, before = result["modules"], earlier["modules"]
    carried = {file: counts for file, counts in before.items() if file not in now}
    older = [{**one, "modules": [file for file in one["modules"] if file in carried]} for one in earlier.get("earlier", [])]
    own = sorted(set(carried) - {file for one in older for file in one["modules"]})
    older.append({"commit": earlier["commit"], "judged_at": earlier.get("judged_at", {}), "modules": own})
    return {
        **result,
        "modules": dict(sorted({**carried, **now}.items())),
        "survivors": [one for one in earlier["survivors"] if one["file"] in carried] + result["survivors"],
        "semantic": result["semantic"] or earlier["semantic"],
        "not_judged": {file: count for file, count in earlier.get("not_judged", {}).items() if file in carried}
        | result.get("not_judged", {}),
        "unsteady": sorted({*earlier["unsteady"], *result["unsteady"]}),
        "earlier": [one for one in older if one["modules"]],
    }


def _print(result: dict[str, Any]) -> None:
    for file, counts in result["modules"].items():
        print(f"{file:45} " + "  ".join(f"{name} {count}" for name, count in counts.items() if name != "milliseconds"))
    for survivor in result["survivors"]:
        print(f"survived: {survivor['file']}:{survivor['line']} {survivor['before']!r} -> {survivor['after']!r} in {survivor['at']!r}")
    for mutant in result["semantic"]:
        print(f"semantic: {mutant['name']}: {mutant['outcome']} {mutant['by']}")


if __name__ == "__main__":
    sys.exit(main())
