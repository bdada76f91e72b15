"""The gate's line to the sentinel: waited for while a sweep of it is under way, and told what it must hear, without anybody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from interlock.domain.clock import NS_PER_S
from interlock.gate.readings import Now
from interlock.run.gate_ports import AskSentinel

SWEEP_NS = 30 * NS_PER_S
"""How long the end of a sweep is waited for at the start."""
SILENT_NS = 5 * NS_PER_S
"""How long a sentinel is waited for that says nothing."""


async def sweep_is_over(ask: AskSentinel, now: Callable[[], Now], log: Callable[[str], None]) -> None:
    """A sweep that is under way would stop the life that begins in its middle; it is waited for, as long as it makes sense: not for one that has
    stopped the life before and, well after that, found nothing open, but cannot end by waiting, because requests to that venue do not expire.

    No answer is no "no": a sentinel that is just starting may be about to go on with a stop. One that stays silent is not waited for longer than
    `SILENT_NS`; without it nothing can be armed.
    """
    until_ns = now().boot_ns + SWEEP_NS
    silent_until_ns = now().boot_ns + SILENT_NS
    told = False
    while now().boot_ns < until_ns:
        status = await ask({"verb": "status"})
        if status and not status.get("under_way"):
            return
        if status.get("in_vain"):
            log("the sentinel's sweep found nothing open and cannot end by waiting: what the last life had under way is to be looked for")
            return
        if not status and now().boot_ns >= silent_until_ns:
            log("the sentinel does not answer; whether it sweeps is not known")
            return
        if status and not told:
            log("the sentinel is finishing a sweep; waiting for its end")
            told = True
        await asyncio.sleep(0.1)


class SentinelLine:
    """Tells the sentinel, each thing once: what it has heard last, or is being asked, is not asked again."""

    def __init__(self, ask: AskSentinel, log: Callable[[str], None]) -> None:
        self._ask = ask
        self._log = log
        self._told: set[asyncio.Task[None]] = set()
        self._asking: list[Mapping[str, Any]] = []
        self._heard: Mapping[str, Any] = {}

    def tell(self, verb: str, client_ids: Mapping[str, tuple[str, ...]]) -> None:
        """Ask it to do something about these orders, by venue, without waiting."""
        request = {"verb": verb, "source": "gate", "client_ids": {venue: list(ids) for venue, ids in client_ids.items()}}
        if request in self._asking or request == self._heard:
            return
        self._asking.append(request)
        task = asyncio.get_running_loop().create_task(self._tell(request))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell(self, request: Mapping[str, Any]) -> None:
        try:
            told = await self._ask(request)
        finally:
            self._asking.remove(request)
        if told:
            self._heard = request
        else:
            self._log(f"the sentinel did not answer {request['verb']!r}")

    def close(self) -> None:
        """Wait for no answer any more."""
        for task in tuple(self._told):
            task.cancel()
