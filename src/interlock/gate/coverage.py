"""Whether a limit sheet covers what is to be traded: asked at the start, so that a gap is found there and not by the first denied order."""

from __future__ import annotations

from collections.abc import Iterable

from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.references import DOLLAR

Wanted = tuple[str, str, str, str, str, str]
"""(venue, account, symbol, strategy, asset, quote currency)."""


def uncovered(sheet: LimitSheet, wanted: Iterable[Wanted]) -> tuple[str, ...]:
    """The tables of the sheet that are missing, by the names they need in the file, sorted; none if every limit can be evaluated.

    An account that its venue's table does not list is named as that table's key. US dollars need no rate.
    """
    missing = set()
    for venue, account, symbol, strategy, asset, quote in wanted:
        if venue not in sheet.venues:
            missing.add(f"[venues.{venue}]")
        elif account not in sheet.venues[venue].accounts:
            missing.add(f"[venues.{venue}] accounts: {account}")
        if f"{venue}:{symbol}" not in sheet.symbols:
            missing.add(f'[symbols."{venue}:{symbol}"]')
        if strategy not in sheet.strategies:
            missing.add(f"[strategies.{strategy}]")
        if asset not in sheet.assets:
            missing.add(f"[assets.{asset}]")
        if quote != DOLLAR and quote not in sheet.currencies:
            missing.add(f"[currencies.{quote}]")
    return tuple(sorted(missing))
