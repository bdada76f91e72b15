"""How a life begins: disarmed, halted, and with what the one before left half-way settled by what is certain."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gate.core_world import LIFE, World, armed_state, proposal

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.core import decide
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.life import Kernels, begin
from interlock.gate.parts import Life
from interlock.gate.readings import Now

NEXT = "fedcba9876543210" * 2
SMALL = Options(1 << 20, 1 << 16, 1 << 16)


def life_of(kernel_boot_id: str) -> Life:
    return Life(
        incarnation=NEXT,
        kernel_boot_id=kernel_boot_id,
        host="h",
        user="u",
        endpoint=r.Endpoint.LOOPBACK,
        build="b",
        config="c",
        strategy="s",
        limits="l",
        pid=1,
    )


def left_half_way(wired: bool) -> tuple[World, str]:
    """A world whose process ended after a permit, or after the record of its write."""
    world = World(state=armed_state())
    effects = decide(world.setup, world.state, world.readings, proposal(), world.now)
    assert effects.planned is not None
    for record in effects.records:
        world.state.apply(record)
    client_id = effects.planned.client_id
    if wired:
        world.state.apply(r.WireBegin(boot_ns=world.now.boot_ns, client_id=client_id, revision=0, connection="c"))
    return world, client_id


@pytest.mark.parametrize(
    ("kernel", "disk_error", "wired", "expected"),
    [
        ("kernel-1", False, False, OrderState.NOT_SENT),
        ("kernel-1", True, False, OrderState.UNKNOWN),
        ("kernel-2", False, False, OrderState.UNKNOWN),
        ("", False, False, OrderState.UNKNOWN),
        ("kernel-1", False, True, OrderState.UNKNOWN),
    ],
)
def test_a_permit_without_a_write_was_not_sent_only_while_no_written_byte_can_have_been_lost(
    tmp_path: Path, kernel: str, disk_error: bool, wired: bool, expected: OrderState
) -> None:
    world, client_id = left_half_way(wired)
    kernels = Kernels(world.state)
    kernels.see(world.state, r.Epoch(boot_ns=1, number=1))
    first = r.Boot(
        boot_ns=1,
        incarnation=LIFE,
        kernel_boot_id="kernel-1",
        host="h",
        user="u",
        endpoint=r.Endpoint.LOOPBACK,
        accounts=(),
        build="b",
        config="c",
        limits="l",
        wall_ns=1,
    )
    kernels.see(world.state, first)  # the life that made the permit
    journal, _ = open_journal(SystemDisk(), tmp_path / "j", schema=r.SCHEMA, incarnation=bytes.fromhex(NEXT), options=SMALL)
    keeper = Keeper(world.state, journal)
    try:
        now = Now(world.now.boot_ns + 10, world.now.wall_ns + 10)
        last_epoch = world.state.last_epoch
        lsn = begin(keeper, life_of(kernel), {"bybit": "main"}, kernels, disk_error=disk_error, now=now)
        assert lsn == journal.last_lsn
    finally:
        journal.close()
    state = keeper.state
    assert state.orders.by_id[client_id].state is expected
    assert state.live is None
    assert (state.incarnation, state.lattice.base) == (NEXT, r.Level.HALT)
    assert state.epoch > last_epoch


def test_a_life_in_between_on_another_kernel_makes_it_uncertain() -> None:
    world, _ = left_half_way(False)
    kernels = Kernels(world.state)

    def boot(kernel: str) -> None:
        record = r.Boot(
            boot_ns=1,
            incarnation=LIFE,
            kernel_boot_id=kernel,
            host="h",
            user="u",
            endpoint=r.Endpoint.LOOPBACK,
            accounts=(),
            build="b",
            config="c",
            limits="l",
            wall_ns=1,
        )
        world.state.apply(record)
        kernels.see(world.state, record)

    begun = world.state.orders.life + 1
    boot("kernel-1")
    assert kernels.same_since(begun, begun, "kernel-1")
    boot("kernel-2")
    boot("kernel-1")
    assert not kernels.same_since(begun, begun + 2, "kernel-1")
    assert kernels.same_since(begun + 2, begun + 2, "kernel-1")
    assert not kernels.same_since(begun + 2, begun + 3, "kernel-1")
