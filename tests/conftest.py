"""What all tests share: the recorded data, the account of which data sets were read, hypothesis profiles.

Tests that read recorded exchange data take the `data_dir` fixture and say which data set with
`@pytest.mark.data("binance_usdm")`. The data is not part of the repository. Where it is absent those tests
skip and the summary says how many; with INTERLOCK_REQUIRE_DATA=1 a skip where the data is present is a
failure, because it means that a test looked in the wrong place.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.host import LinuxHost, Verdicts, repeated

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples every time, so that a red run means a change; `make soak` looks for new ones.
settings.register_profile("default", max_examples=50, deadline=None, print_blob=True, derandomize=True)
settings.register_profile("soak", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

LONG = (
    "tests/run/test_orders_at_venues.py",
    "tests/run/test_lies_at_venues.py",
    "tests/run/test_live_run.py",
    "tests/day/test_day.py",
    "tests/run/test_sudden_deaths.py",
    "tests/sentinel/test_real_venues.py",
    "tests/gate/test_composition_findings.py",
    "tests/run/test_two_runs.py",
    "tests/gate/test_crash.py",
    "tests/venues/test_binance_real.py",
    "tests/venues/test_hot.py",
    "tests/clients/test_clients.py",
    "tests/run/test_partitions.py",
    "tests/gate/test_arming_flips.py",
    "tests/gate/test_gate_serve.py",
)
"""Files of a minute and more, the longest first: with several workers the others fill what time is left, and none is left alone at the end."""

LEDGER: pytest.StashKey["DataLedger"] = pytest.StashKey()
DATA = "data set"


def data_folder() -> Path:
    """Where recorded data is looked for: INTERLOCK_DATA, relative to the repository, or beside it."""
    return (REPOSITORY / (os.environ.get("INTERLOCK_DATA") or "../shared/data")).resolve()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded data; the test skips where there is none."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip(f"no recorded data: {folder} is not a folder (set INTERLOCK_DATA)")
    return folder


class DataLedger:
    """Counts the outcome of every test that names a data set, and refuses skips where data is required."""

    def __init__(self, *, require: bool) -> None:
        self.require = require
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        names = data_sets(item)
        if not names:
            return report
        if report.skipped and self.require and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} did not run although the recorded data is present: {reason}"
        report.user_properties = [*report.user_properties, *((DATA, name) for name in names)]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also where another process ran the test: what it is about travels with the report."""
        # A test counts once: by its call, or by the set-up or tear-down that kept it from passing.
        if report.when == "call" or not report.passed:
            for key, name in report.user_properties:
                if key == DATA:
                    self.counts[str(name)][report.outcome] += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.counts:
            return
        terminalreporter.section("data sets")
        for name, counts in sorted(self.counts.items()):
            passed, skipped, failed = counts["passed"], counts["skipped"], counts["failed"]
            terminalreporter.write_line(f"data {name}: {passed} passed, {skipped} skipped, {failed} failed")


def data_sets(item: pytest.Item) -> list[str]:
    """Return the names that the data markers of a test give."""
    return sorted({str(name) for marker in item.iter_markers("data") for name in marker.args})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--second-chances", type=int, default=0, metavar="N", help="tests that each worker repeats though the host ran (tests/host.py)"
    )


def pytest_configure(config: pytest.Config) -> None:
    required = os.environ.get("INTERLOCK_REQUIRE_DATA") == "1" and data_folder().is_dir()
    config.stash[LEDGER] = DataLedger(require=required)
    config.pluginmanager.register(config.stash[LEDGER], "interlock-data-ledger")
    if hasattr(config, "workerinput") or not config.getoption("numprocesses"):  # this process runs tests
        host = LinuxHost()
        config.add_cleanup(host.close)
        config.pluginmanager.register(Verdicts(host, os.cpu_count() or 1, config.getoption("second_chances")), "interlock-host")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was repeated, where the output ends: a test that is seen there often wants a look all the same."""
    lines = repeated(terminalreporter.getreports("rerun"))
    if lines:
        terminalreporter.section("repeated")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)  # after the order was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(name) if (name := item.nodeid.partition("::")[0]) in LONG else len(LONG))
    unnamed = [item.nodeid for item in items if "data_dir" in getattr(item, "fixturenames", ()) and not data_sets(item)]
    if unnamed:
        raise pytest.UsageError("these tests take data_dir without naming a data set; add @pytest.mark.data(...): " + ", ".join(unnamed))
