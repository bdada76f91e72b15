"""How a process life of the gate begins: disarmed and halted, with what an earlier life left half-way settled by evidence.

Nothing here sends anything, and a permit of an earlier life is never sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.domain.clock import NS_PER_S
from interlock.domain.ids import next_epoch
from interlock.domain.orders import OrderState
from interlock.gate import orders
from interlock.gate import records as r
from interlock.gate.keeper import Keeper
from interlock.gate.parts import Life
from interlock.gate.readings import Now
from interlock.gate.state import GateState


class Kernels:
    """Which boots of the host the process lives in a journal ran on; to be told every record while the journal is read."""

    def __init__(self, state: GateState) -> None:
        # A state that comes from a snapshot knows on which boot its last life ran, and no more.
        self._by_life: dict[int, str] = {state.orders.life: state.throttles.kernel_boot_id} if state.orders.life else {}

    def see(self, state: GateState, record: r.Record) -> None:
        """Take note of a record that `state` has just folded."""
        if isinstance(record, r.Boot):
            self._by_life[state.orders.life] = record.kernel_boot_id

    def same_since(self, life: int, until: int, kernel_boot_id: str) -> bool:
        """Whether every life from `life` to `until` is known to have run on this boot of the host: only then has no written byte been lost."""
        return bool(kernel_boot_id) and all(self._by_life.get(number) == kernel_boot_id for number in range(life, until + 1))


def begin(keeper: Keeper, life: Life, accounts: Mapping[str, str], kernels: Kernels, *, disk_error: bool, now: Now) -> int:
    """Append the beginning of a life and what it makes of the one before; returns the record that must be durable before anything else happens.

    `disk_error`: a disk error of an earlier life is not settled. Raises JournalFailed or JournalFull.
    """
    state = keeper.state
    before = state.orders.life
    oldest = min(_permitted_lives(state), default=before)
    certain = kernels.same_since(oldest, before, life.kernel_boot_id)
    # Asked before the Boot is folded: it makes unknown what was in flight, and each order is to say so in a record of its own.
    found = orders.recovery_records(state.orders, certain, disk_error, now.boot_ns)
    keeper.take(
        r.Boot(
            boot_ns=now.boot_ns,
            incarnation=life.incarnation,
            kernel_boot_id=life.kernel_boot_id,
            host=life.host,
            user=life.user,
            endpoint=life.endpoint,
            accounts=tuple(f"{venue}/{account}" for venue, account in sorted(accounts.items())),
            build=life.build,
            config=life.config,
            limits=life.limits,
            wall_ns=now.wall_ns,
        ),
        now=now,
    )
    if found:
        keeper.take(*found, now=now)
    number = next_epoch(state.last_epoch, now.wall_ns // NS_PER_S)
    return keeper.take(r.Epoch(boot_ns=now.boot_ns, number=number), now=now)


def _permitted_lives(state: GateState) -> list[int]:
    """The lives that permitted what was not written yet."""
    lives = []
    for client_id in state.orders.live:
        order = state.orders.by_id[client_id]
        if order.state is OrderState.PERMITTED:
            lives.append(order.life)
        if order.amend is not None and order.amend.state is OrderState.PERMITTED:
            lives.append(order.amend.life)
    return lives
