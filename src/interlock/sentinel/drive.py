"""Carries a sweep out against a venue, step by step, in the thread of that venue."""

from __future__ import annotations

from collections.abc import Callable

from interlock.sentinel.operation import Operation
from interlock.sentinel.sweep import Do, Step, Sweep
from interlock.venues.cancel_only import CancelOnly, OpenOrder, VenueTrouble


def drive(venue: str, client: CancelOnly, sweep: Sweep, operation: Operation, boot_ns: Callable[[], int]) -> None:
    """Sweep until it is final, or until another operation takes over. Every trouble is told and followed by another attempt."""
    while not operation.ended:
        sweep.quiet_ns = operation.quiet_ns
        step = sweep.next(boot_ns())
        if step.do is Do.DONE:
            return
        if step.do is Do.WAIT:
            with operation.changed:
                operation.changed.wait_for(lambda: operation.ended, max(step.until_ns - boot_ns(), 0) / 1e9)
            continue
        try:
            _carry_out(step, venue, client, sweep, operation, boot_ns)
        except VenueTrouble as trouble:
            sweep.failed(step, trouble.retry_after_ns, boot_ns())
            operation.tell_once("TROUBLE", boot_ns(), venue, f"{step.do}: {trouble.reason}")
        else:
            operation.tell_once("TROUBLE", boot_ns(), venue, "")
        operation.note(venue, sweep, boot_ns())


def _carry_out(step: Step, venue: str, client: CancelOnly, sweep: Sweep, operation: Operation, boot_ns: Callable[[], int]) -> None:
    if step.do is Do.LIST:
        _list(client, sweep, boot_ns, ours=step.ours)
    elif step.do is Do.FIND:
        sweep.found_as(step.client_id, client.state_of(step.client_id), boot_ns())
    else:
        everything = step.do is Do.CANCEL_EVERYTHING
        operation.tell("CANCELLING", boot_ns(), venue=venue, count=len(sweep.known), everything=everything)
        if everything:
            client.cancel_everything()
        else:
            client.cancel(step.orders)
        sweep.cancelled()


def _list(client: CancelOnly, sweep: Sweep, boot_ns: Callable[[], int], *, ours: bool) -> None:
    asked_ns = boot_ns()
    orders: list[OpenOrder] = []
    whole = False
    try:
        for page in client.open_pages(ours=ours):
            orders += page
        whole = True
    finally:
        sweep.listed(orders, whole=whole, asked_ns=asked_ns, now_ns=boot_ns(), ours=ours)
