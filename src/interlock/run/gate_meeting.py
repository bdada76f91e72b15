"""Before a life begins: who the gate is at each venue and what is listed there, limits for all of it, and each account held for this gate alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from interlock.domain.errors import UsageError
from interlock.gate.account_lock import AccountName, Lease, take_local
from interlock.gate.connection_guard import require_protection
from interlock.gate.coverage import uncovered
from interlock.gate.exposure import Place
from interlock.gate.foreign import Unmanaged, unmanaged_of
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Endpoint
from interlock.gate.venue_reads import Listing, ReadFailed
from interlock.run.gate_config import GateConfig, VenuePart
from interlock.run.gate_kits import VenueKit

START_S = 10.0
"""How long the venues may take to answer at the start."""


@dataclass(frozen=True, kw_only=True)
class Met:
    """What the venues said. `identities` are by venue: what the venue itself calls the account."""

    listings: Mapping[Place, Listing]
    identities: Mapping[str, str]
    unmanaged: Mapping[str, Unmanaged]
    """By venue: what others may be active in; nothing where the account is ours alone."""


def require_sweepable(sheet: LimitSheet, kits: Mapping[str, VenueKit]) -> None:
    """Raise UsageError if more orders may be open at a venue than the sentinel could sweep with what is always left to it of the limits there."""
    for venue, kit in kits.items():
        orders = sum(limits.max_open_orders_count for name, limits in sheet.symbols.items() if name.partition(":")[0] == venue)
        if problem := kit.unsweepable(orders):
            raise UsageError(f"limits, max_open_orders_count of {venue}: {problem}; allow fewer")


async def meet(config: GateConfig, sheet: LimitSheet, kits: Mapping[str, VenueKit]) -> Met:
    """Ask every venue who we are there and what it lists. Raises UsageError for what configuration and limits do not expect."""
    listings: dict[Place, Listing] = {}
    identities: dict[str, str] = {}
    unmanaged: dict[str, Unmanaged] = {}
    try:
        async with asyncio.timeout(START_S):
            for part in config.venues:
                identities[part.venue], listed = await _ask(part, kits[part.venue])
                ours = {(part.venue, symbol): listed[symbol] for symbol in part.symbols}
                listings.update(ours)
                limits = sheet.venues.get(part.venue)
                assets = () if limits is None else limits.unmanaged_assets
                _require_managed(part.venue, assets, ours.values())
                unmanaged[part.venue] = unmanaged_of(assets, listed.values(), part.symbols)
    except TimeoutError as error:
        raise UsageError(f"venues: expected answers within {START_S:.0f} s, found none; see whether they run") from error
    return Met(listings=listings, identities=identities, unmanaged=unmanaged)


def _require_managed(venue: str, assets: Collection[str], ours: Iterable[Listing]) -> None:
    """Raise UsageError where the allow-list of others names something that the gate trades or settles in."""
    for listing in ours:
        both = sorted({listing.base, listing.quote} & set(assets))
        if both:
            raise UsageError(
                f"limits, venues.{venue}.unmanaged_assets: expected none of what the gate trades, found {', '.join(both)} of {listing.symbol}; "
                "take it off the list, or trade it on an account of its own"
            )


async def _ask(part: VenuePart, kit: VenueKit) -> tuple[str, dict[str, Listing]]:
    try:
        await kit.know(part.symbols)
        key, listings = await kit.reads.key(), await kit.reads.listings()
    except ReadFailed as error:
        raise UsageError(f"venue {part.venue}: expected an answer, found: {error.reason}; see whether it runs") from error
    known = {listing.symbol: listing for listing in listings}
    for symbol in part.symbols:
        if symbol not in known:
            raise UsageError(f"venue {part.venue}: expected {symbol} to be listed, found {', '.join(sorted(known))}; correct the limits")
    # A simulated venue is another one in every folder, though it calls its account the same.
    return f"{key.account}@{kit.orders.port}" if part.endpoint is Endpoint.LOOPBACK else key.account, known


async def protect(kits: Mapping[str, VenueKit]) -> None:
    """Have every venue protect what rests there, where the configuration says that it does. Raises UsageError where it is not so."""
    for venue, kit in kits.items():
        if kit.protection is None:
            continue
        try:
            await require_protection(kit.protection)
        except ReadFailed as error:
            raise UsageError(
                f"venue {venue}, disconnect_cancel_s: {error.reason}; have the venue enable disconnection protection for this account, "
                "or leave it out"
            ) from error


def require_covered(config: GateConfig, sheet: LimitSheet, listings: Mapping[Place, Listing]) -> None:
    """Raise UsageError unless the limits cover everything that may be traded."""
    accounts = {part.venue: part.account for part in config.venues}
    missing = uncovered(
        sheet,
        [
            (venue, accounts[venue], symbol, strategy, listing.base, listing.quote)
            for (venue, symbol), listing in listings.items()
            for strategy in config.tags
        ],
    )
    if missing:
        raise UsageError(
            f"{config.limits}: expected limits for everything that may be traded, missing: {'; '.join(missing)}; write them down"
        )


def hold_account(config: GateConfig, venue: str, identity: str) -> Lease:
    """Take an account for this gate alone. Raises Refused when that cannot be."""
    return take_local(AccountName(venue, identity), f"pid {os.getpid()} in {config.folder}", config.lock_folder)
