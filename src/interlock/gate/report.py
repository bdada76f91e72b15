"""How the gate stands, as plain data for people and pages; nothing decides by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from interlock.gate import arming, attested, pairs, references
from interlock.gate.ceremony import NS_PER_HOUR, NS_PER_S
from interlock.gate.lattice import common_level
from interlock.gate.parts import Parts
from interlock.gate.permission import warnings_due
from interlock.gate.refusal import Refusal
from interlock.gate.tightening import looser_than_before

MOST_LISTED = 500
"""How many orders and denials are listed; the counts are of all."""


def report(parts: Parts, why_not: tuple[Refusal, ...], drill_symbols: tuple[str, ...], unmarked: tuple[str, ...]) -> dict[str, Any]:
    """The whole of it. `why_not` is what stands against arming, as far as it is known without asking the venue."""
    state, now = parts.keeper.state, parts.clock()
    lattice = state.lattice
    return {
        "pid": parts.life.pid,
        "incarnation": state.incarnation,
        "state_version": lattice.version,
        "endpoint": parts.life.endpoint.value,
        "phase": arming.phase(state.machine, now.boot_ns).value,
        "level": common_level(lattice).value,
        "base": lattice.base.value,
        "killed": lattice.kill.value,
        "latches": [_hold(hold) for hold in lattice.latches],
        "trips": [{**_hold(trip), "for_s": (now.boot_ns - trip.since_boot_ns) // NS_PER_S} for trip in lattice.trips],
        "limits": _limits(parts),
        "grant": _grant(parts),
        "orders": _orders(parts),
        "positions": [
            {"venue": venue, "account": account, "symbol": symbol, "lots": position.lots}
            for (venue, account, symbol), position in sorted(state.ledger.positions.items())
            if position.lots
        ],
        "reserved": [
            {"venue": one.venue, "symbol": one.symbol, "side": one.side.name.lower(), "ticks": one.ticks, "lots": one.lots}
            for one in pairs.reserved(state, now.boot_ns)
        ],
        "references": _references(parts),
        "loss": {
            "day": state.losses.day,
            "now_usd": _whole(state.losses.now_micro_usd),
            "worst_usd": _whole(state.losses.worst_micro_usd),
            "drawdown_usd": _whole(state.losses.drawdown_micro_usd),
            "by_currency": [
                {"currency": one.currency, "now_units": _whole(one.now_micro), "worst_realised_units": _whole(one.worst_realised_micro)}
                for one in state.losses.by_currency
            ],
            "unmarked": list(unmarked),
        },
        "accounts": dict(parts.setup.accounts),
        "shared": _shared(parts),
        "strategies": sorted(parts.setup.tags),
        "symbols": [f"{venue}/{symbol}" for venue, symbol, _ in parts.readings.binding.symbols],
        "why_not": [{"rule": one.rule, "message": one.message} for one in why_not],
        "journal": {
            "last_lsn": parts.keeper.journal.last_lsn,
            "durable_lsn": parts.keeper.journal.durable_lsn,
            "failure": str(parts.keeper.journal.failure or ""),
            "unwritten": len(parts.keeper.unwritten),
        },
        "sentinel": parts.readings.sentinel_alive,
        "checker": parts.readings.checker_alive,
        "read_only": parts.readings.read_only,
        "stopped": parts.guard.stopped(),
        "lease_held": parts.guard.lease_held(),
        "drill_symbols": list(drill_symbols),
    }


def _shared(parts: Parts) -> list[dict[str, Any]]:
    """The accounts that others use too; on those a kill cancels their orders as well."""
    found = []
    for venue, account in sorted(parts.setup.accounts.items()):
        limits, burden = parts.keeper.state.sheet.venues.get(venue), parts.readings.burdens.get((venue, account))
        if limits is not None and limits.shared:
            found.append(
                {
                    "venue": venue,
                    "account": account,
                    "unmanaged_assets": list(limits.unmanaged_assets),
                    "theirs_usd": "not known" if burden is None or burden.gross < 0 else _whole(burden.gross),
                    "kill": "cancels everybody's orders on the account",
                }
            )
    return found


WARNED_NS = 7 * attested.NS_PER_DAY
"""How long before its end an attestation is warned of."""


def attestations(parts: Parts, fingerprints: Mapping[str, str]) -> list[dict[str, Any]]:
    """What persons said of keys, and whether it holds for the keys in use, whose fingerprints are by venue."""
    wall_ns, found = parts.clock().wall_ns, []
    for one in parts.keeper.state.attestations.newest:
        ours = parts.setup.accounts.get(one.venue) == one.account
        lapsed = attested.lapse(one, fingerprints.get(one.venue, ""), wall_ns) if ours else "it is of an account that is not the gate's"
        left_ns = one.until_wall_ns - wall_ns
        found.append(
            {
                "venue": one.venue,
                "account": one.account,
                "fingerprint": one.fingerprint,
                "facts": list(attested.words(one)),
                "by": one.actor,
                "scripted": one.scripted,
                "until": datetime.fromtimestamp(one.until_wall_ns // NS_PER_S, UTC).isoformat(),
                "holds": not lapsed,
                "reason": lapsed,
                "warning": f"ends in {left_ns // NS_PER_HOUR} h: attest it anew" if not lapsed and left_ns <= WARNED_NS else "",
            }
        )
    return found


def _hold(hold: Any) -> dict[str, Any]:
    return {"name": hold.name, "scope": hold.scope.value, "subject": hold.subject, "level": hold.level.value}


def _whole(millionths: int) -> str:
    return str(Decimal(millionths) / 1_000_000)


def _limits(parts: Parts) -> dict[str, Any]:
    """Which sheet is in force, which one this process life began with, and when the one was tightened to the other; empty if it was not."""
    held = parts.keeper.state.limits
    at = datetime.fromtimestamp(held.tightened_wall_ns // NS_PER_S, UTC).isoformat() if held.tightened_wall_ns else ""
    return {
        "hash": held.hash,
        "began_with": parts.life.limits,
        "tightened_at": at,
        "looser_than_before": list(looser_than_before(held.forgone, parts.keeper.state.sheet)),
    }


def _grant(parts: Parts) -> dict[str, Any] | None:
    state, now = parts.keeper.state, parts.clock()
    if state.live is None:
        return None
    grant = state.live.grant
    return {
        "grant_id": grant.grant_id,
        "purpose": grant.purpose.value,
        "scripted": grant.scripted,
        "cap_usd": str(grant.cap_usd),
        "ended": state.arming.ended,
        "expires_in_s": (grant.expires_boot_ns - now.boot_ns) // NS_PER_S,
        "mandate_until_in_s": (grant.mandate_until_boot_ns - now.boot_ns) // NS_PER_S,
        "warnings_min": list(warnings_due(state.live, grant.minted_boot_ns, now.boot_ns)),
        "symbols": [f"{venue}/{symbol}" for venue, symbol, _ in grant.binding.symbols],
    }


def _orders(parts: Parts) -> dict[str, Any]:
    orders = parts.keeper.state.orders
    names = sorted({*orders.live, *orders.owing})
    return {
        "live": len(orders.live),
        "unresolved": len(orders.unresolved),
        "cancelling": len(orders.cancelling),
        "owing": len(orders.owing),
        "list": [_order(parts, client_id) for client_id in names[:MOST_LISTED]],
    }


def _order(parts: Parts, client_id: str) -> dict[str, Any]:
    order = parts.keeper.state.orders.by_id[client_id]
    return {
        "client_id": client_id,
        "venue": order.venue,
        "symbol": order.symbol,
        "strategy": order.strategy,
        "side": order.side.name.lower(),
        "state": order.state.value,
        "ticks": order.ticks,
        "lots": order.lots,
        "filled_lots": order.filled_lots,
        "revision": order.revision,
        "cancel_wanted": order.cancel is not None,
    }


def _references(parts: Parts) -> list[dict[str, Any]]:
    now, known, sheet = parts.clock(), parts.readings.references, parts.keeper.state.sheet
    found = []
    for (venue, symbol), reference in sorted(known.references.items()):
        quote = reference.quote
        limits = sheet.symbols.get(f"{venue}:{symbol}")
        problem = "no limits" if limits is None else references.quote_problem(known, limits, (venue, symbol), now.boot_ns)
        found.append(
            {
                "venue": venue,
                "symbol": symbol,
                "bid_ticks": quote.bid_ticks,
                "ask_ticks": quote.ask_ticks,
                "mark_ticks": quote.mark_ticks,
                "boot_ns": quote.boot_ns,
                "problem": problem,
            }
        )
    return found
