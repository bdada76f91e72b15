"""Who answers which request of the gate's sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interlock.gate import frames as f
from interlock.gate.arm_desk import ArmDesk
from interlock.gate.attest_desk import AttestDesk
from interlock.gate.commands import Commands
from interlock.gate.following import Following
from interlock.gate.lattice import common_level
from interlock.gate.parts import Parts
from interlock.gate.proposals import Proposals
from interlock.gate.sockets import Peer

Enforce = Callable[[], None]
"""Cancel at once what the state no longer allows."""


class Desk:
    """The handler for `Sockets`. Which role may ask what was checked before (`frames.ALLOWED`)."""

    def __init__(
        self,
        parts: Parts,
        proposals: Proposals,
        commands: Commands,
        following: Following,
        arm_desk: ArmDesk,
        report: Callable[[], dict[str, Any]],
        enforce: Enforce,
    ) -> None:
        self._parts = parts
        self._proposals = proposals
        self._commands = commands
        self._following = following
        self._arm_desk = arm_desk
        self._attest_desk = AttestDesk(parts, arm_desk.look, commands.decided)
        self._report = report
        self._enforce = enforce

    async def __call__(self, role: f.Role, peer: Peer, request: f.Frame) -> f.Frame:
        """Answer one request. What fails in a way that nobody foresaw stops the gate, and the request is refused by that name."""
        try:
            answer = await self._answer(f"user {peer.uid}", request)
        except Exception as error:  # noqa: BLE001 - it must latch and refuse; the loop and the other sockets go on
            self._parts.broke(f"{role.value} socket, {type(request).__name__}", error)
            answer = f.Refusal(rule="internal_error", detail=f"{type(error).__name__}; the gate has halted, look at the status")
        self._enforce()
        return answer

    async def _answer(self, actor: str, request: f.Frame) -> f.Frame:
        match request:
            case f.Propose():
                return await self._proposals.propose(request)
            case f.CancelOwn():
                return self._proposals.cancel_own(request)
            case f.Edge():
                return self._commands.edge(request)
            case f.Follow():
                return await self._following.follow(request)
            case f.GetStatus():
                return self.status()
            case f.Kill():
                return self._commands.kill(request, actor)
            case f.Freeze():
                return self._commands.freeze(request, actor)
            case f.Disarm():
                return self._commands.disarm(request, actor)
            case f.Tighten():
                return await self._commands.tighten(request, actor)
            case f.ArmBegin():
                return await self._arm_desk.begin(request)
            case f.ArmAnswer():
                return await self._arm_desk.answer(request, actor)
            case f.DrillEnd():
                return await self._arm_desk.end_drill(request)
            case f.Resume():
                return await self._commands.resume(request, actor)
            case f.Release():
                return await self._commands.release(request, actor)
            case f.Adjust():
                return await self._commands.adjust(request, actor)
            case f.Expect():
                return await self._commands.expect(request, actor)
            case f.Attest():
                return await self._attest_desk.attest(request, actor)
        return f.Refusal(rule="request", detail=f"{type(request).__name__} is no request")

    def status(self) -> f.Status:
        """How things stand."""
        state = self._parts.keeper.state
        return f.Status(
            incarnation=state.incarnation,
            state_version=state.lattice.version,
            level=common_level(state.lattice),
            armed=state.live is not None and not state.arming.ended,
            report=self._report(),
        )
