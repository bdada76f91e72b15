"""How the gate of a replay comes to trade: a process life that exists in memory alone, with everything in order, armed for the whole tape.

No person is asked and nothing is at stake: what the ceremony guards, keys and venues, is not there. The grant is bound to this life, its cap is what
the limits let through altogether, and no process that holds a key imports this module (an import contract says so).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.gate import records as r
from interlock.gate.arming import Challenge, Challenged, LiveGrant, Minted
from interlock.gate.limit_sheet import LimitSheet, sheet_hash
from interlock.gate.readings import Now
from interlock.gate.state import GateState

NOBODY: Final = "replay"
"""Who acts where a live gate records a person."""
_LEVEL_NONCE: Final = "1" * 32
_GRANT_NONCE: Final = "2" * 32
_MICRO: Final = 1_000_000


def binding_of(sheet: LimitSheet, accounts: Mapping[str, str], instruments: tuple[Instrument, ...], seed: int) -> r.Binding:
    """What the grant of a replay is good for: these limits, accounts and instruments, in this life."""
    return r.Binding(
        incarnation=f"{seed & ((1 << 128) - 1):032x}",
        host=NOBODY,
        account=",".join(f"{venue}/{account}" for venue, account in sorted(accounts.items())),
        endpoint=r.Endpoint.LOOPBACK,
        build="",
        config="",
        strategy="",
        limits=sheet_hash(sheet),
        symbols=tuple((one.venue, one.symbol, "") for one in instruments),
    )


def begin(state: GateState, binding: r.Binding, accounts: Mapping[str, str], now: Now, until_ns: int) -> None:
    """Fold the beginning of a life into an empty state, up to RUN with a living grant until `until_ns`."""
    at = now.boot_ns
    places = sorted(accounts.items())
    state.apply(
        r.Boot(
            boot_ns=at,
            incarnation=binding.incarnation,
            kernel_boot_id=NOBODY,
            host=binding.host,
            user=NOBODY,
            endpoint=binding.endpoint,
            accounts=tuple(f"{venue}/{account}" for venue, account in places),
            build=binding.build,
            config=binding.config,
            limits=binding.limits,
            wall_ns=now.wall_ns,
        )
    )
    state.apply(r.Epoch(boot_ns=at, number=max(1, now.wall_ns // NS_PER_S)))
    for venue, account in places:
        state.apply(r.Reconciled(boot_ns=at, venue=venue, account=account, explained=True, differences=()))
    state.apply(r.LevelSet(boot_ns=at, level=r.Level.RUN, reason="a replay begins", actor=NOBODY, human=True, nonce=_LEVEL_NONCE))
    cap_usd = Decimal(state.sheet.account.max_gross_notional_micro_usd) / _MICRO
    grant = r.Grant(
        grant_id=_GRANT_NONCE,
        binding=binding,
        cap_usd=cap_usd,
        scripted=True,
        minted_boot_ns=at,
        expires_boot_ns=until_ns,
        mandate_until_boot_ns=until_ns,
    )
    challenge = Challenge(
        nonce=_GRANT_NONCE,
        phrase="",
        purpose=grant.purpose,
        binding=binding,
        cap_usd=cap_usd,
        armed_at_wall_s=now.wall_ns // NS_PER_S,
        lifetime_ns=until_ns - at,
        mandate_after_ns=0,
        scripted=True,
        state_version=0,
        issued_boot_ns=at,
        expires_boot_ns=until_ns,
    )
    state.happen(Challenged(challenge))
    state.happen(Minted(LiveGrant(grant), r.Armed(boot_ns=at, grant=grant, wall_ns=now.wall_ns)))
    assert state.live is not None
