"""The page of a live run for a person: what happened, which invariants held, and where the numbers come from. One file, no scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

REPORT_FILE: Final = "report.html"

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2330; background: #fff; }
h1 { font-size: 1.4rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #dde2ea; vertical-align: top; }
td:first-child { width: 18rem; color: #5a6576; }
.PASS { color: #116b3a; }
.FAIL { color: #a61b1b; font-weight: 600; }
.UNKNOWN { color: #7a6512; }
@media (prefers-color-scheme: dark) {
  body { color: #dbe1ea; background: #12161d; }
  td { border-color: #2b3342; }
  .PASS { color: #5fc58c; }
  .FAIL { color: #ff8a80; }
}
"""
_ORDERS: Final = (
    "intents",
    "permits",
    "denials",
    "fills",
    "maker_fills",
    "orders_of_unknown_outcome",
    "freeze_triggered_total",
    "kills",
    "engine_restarts",
)
_MONEY: Final = ("pnl_usd", "equity_usd", "fees", "net_lots_traded")


def write_report(out: Path, kpi: Mapping[str, Any], notes: Mapping[str, Any] | None = None) -> Path:
    """Write `report.html` of a run; the path of it."""
    verdict = str(kpi["verdict"])
    parts = [
        f"<h1>Live run on {_text(kpi['endpoint'])}: <span class='{_text(verdict)}'>{_text(verdict)}</span></h1>",
        "<p>Everything here is counted from the run's own journal and from what the processes said of themselves. It says what happened, and "
        "nothing about what a strategy would earn: the market was simulated.</p>",
        "<h2>Invariants of the run</h2>",
        _table([_judged(one) for one in kpi["invariants"]]),
        "<h2>Orders</h2>",
        _table([(name, _text(kpi[name])) for name in _ORDERS]),
        "<h2>Money</h2>",
        _table([(name, _text(kpi[name])) for name in _MONEY]),
    ]
    if notes is not None:
        parts += ["<h2>What happened on the way</h2>", _table([(name, _text(value)) for name, value in _happened(notes)])]
    page = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Live run</title><style>{_STYLE}</style>{''.join(parts)}</html>\n"
    path = out / REPORT_FILE
    part = path.with_name(REPORT_FILE + ".part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
    return path


def _judged(one: Mapping[str, Any]) -> tuple[str, str]:
    verdict = _text(one["verdict"])
    return str(one["name"]), f"<span class='{verdict}'>{verdict}</span> {_text(one['detail'])}"


def _happened(notes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    checked, again, kill = notes["checked"], notes["decided_again"], notes["kill"]
    found: list[tuple[str, Any]] = [
        (f"fault: {one['fault']}", f"{one['words']}; happened {one['happened']} times") for one in notes["faults"]
    ]
    found.append(("did not hold in the demo", "; ".join(notes["failed"]) or "nothing"))
    found.append(("kill drill", f"{kill.get('result', 'not made')} after {kill.get('took_ms', '?')} ms"))
    found.append(("open at the venue afterwards", notes["venue"].get("open_orders")))
    found.append(("independent checker", f"{len(checked.get('checked', {}))} invariants, violations: {checked.get('violations')}"))
    found.append(("decided again", f"{again.get('result')}: {again.get('decisions')} decisions, {again.get('intents')} intents compared"))
    found.append(("arbitrage signals", notes["signals"]))
    return found


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><td>{_text(name)}</td><td>{value}</td></tr>" for name, value in rows) + "</table>"


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
