"""Defects that someone could really make on the way out of the gate, each as an exact change of text; every one must be noticed.

They are the ones that lose money: a byte before the permit is durable, a check skipped, a frame sent twice, an ending that nobody saw.
"""

from __future__ import annotations

from typing import NamedTuple

_EGRESS = "src/interlock/gate/egress.py"
_CONNECTION = "src/interlock/gate/connection.py"
_LINE = "src/interlock/gate/order_line.py"
_CORE = "src/interlock/gate/core.py"
_KEEPER = "src/interlock/gate/keeper.py"
_ABSENCE = "src/interlock/gate/absence.py"
_PAIRS = "src/interlock/gate/pairs.py"
_MACHINE = "src/interlock/gate/order_machine.py"
_VENUE = "src/interlock/gate/venue_fake.py"
_SEALING = "src/interlock/gate/sealing.py"
_HTTP = "src/interlock/gate/venue_wire.py"
_SOCKET = "src/interlock/gate/venue_socket_wire.py"
_FRAMES = "src/interlock/gate/web_socket.py"

_T_EGRESS = "tests/gate/test_egress.py"
_T_REVIEW = "tests/gate/test_review_findings.py"
_T_WAY_OUT = "tests/gate/test_mutant_egress.py"
_T_CONNECTION = "tests/gate/test_connection.py"
_T_CORE = "tests/gate/test_core.py"
_T_VENUE = "tests/gate/test_venue_fake.py"
_T_PAIRS = "tests/gate/test_pairs.py"
_T_SOCKET = "tests/gate/test_socket_lines.py"
_T_FRAMES = "tests/gate/test_web_socket.py"
_T_WAYS = "tests/gate/test_egress_ways.py"
_T_TIGHTENING = "tests/gate/test_tightening.py"
_T_SEALING = "tests/gate/test_sealing.py"
_T_HTTP = "tests/gate/test_venue_http_wire.py"


class Semantic(NamedTuple):
    """`old` stands in `file` exactly once and becomes `new`. `why` says what would happen at a venue; one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """The source with this defect. Raises ValueError when the text to change is not there exactly once."""
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"{self.name}: expected its text once in {self.file}, found it {found} times; say anew what is to change")
        return source.replace(self.old, self.new)


SEMANTIC = (
    Semantic(
        "send before sync",
        _EGRESS,
        "            await self._keeper.durable(lsn)\n",
        "            await asyncio.sleep(0)\n",
        "after a power cut there is an order at the venue of which no journal knows",
        (_T_REVIEW, _T_EGRESS),
    ),
    Semantic(
        "first byte before the record of it is handed over",
        _EGRESS,
        "            await self._keeper.handed_over(self._take(begin))\n",
        "            self._take(begin)\n",
        "a process that dies takes the order for one that was never sent, and releases what it reserves",
        (_T_EGRESS, _T_REVIEW),
    ),
    Semantic(
        "re-check dropped before the record of the write",
        _EGRESS,
        "        objection = self._objection(planned, begun=False)\n",
        '        objection = ""\n',
        "an order that was refused meanwhile is recorded as one whose write has begun, and the next boot takes it for unknown",
        (_T_EGRESS, _T_REVIEW),
    ),
    Semantic(
        "re-check dropped before the write",
        _EGRESS,
        "lambda: self._objection(planned, begun=True))",
        'lambda: "")',
        "the stop word, set while the record was handed over, does not stop the order",
        (_T_REVIEW, _T_EGRESS),
    ),
    Semantic(
        "objection not heard",
        _CONNECTION,
        "        objection = recheck()\n",
        '        objection = ""\n',
        "whatever is said against the write right before it, it happens",
        (_T_CONNECTION, _T_EGRESS),
    ),
    Semantic(
        "re-check says yes",
        _CORE,
        "    order = state.orders.by_id.get(planned.client_id)\n    if stopped is not False:\n",
        '    if planned:\n        return ""\n    order = state.orders.by_id.get(planned.client_id)\n    if stopped is not False:\n',
        "nothing that changes between the permit and the write stops it",
        (_T_CORE, _T_EGRESS),
    ),
    Semantic(
        "stop word in doubt is taken for none",
        _CORE,
        "    if stopped is not False:\n",
        "    if stopped is True:\n",
        "a gate that cannot read the stop word goes on ordering",
        (_T_WAY_OUT,),
    ),
    Semantic(
        "lease in doubt is taken for held",
        _CORE,
        "    if lease_held is not True:\n",
        "    if lease_held is False:\n",
        "a gate that cannot tell whether it is the only one goes on ordering",
        (_T_WAY_OUT,),
    ),
    Semantic(
        "client retry on",
        _EGRESS,
        "        line.expect(self._wire.number(*about), planned.frame, about, self._clock().boot_ns, self._answer_ns)\n",
        """
        async def again() -> None:
            (await self._placing_line()).connection.place(planned.frame, lambda: "")

        def lost(which: Write, reason: str) -> None:
            self._placement_lost(which, reason)
            asyncio.get_running_loop().create_task(again())

        line._lost = lost
        line.expect(self._wire.number(*about), planned.frame, about, self._clock().boot_ns, self._answer_ns)
""",
        "an order whose answer was lost is placed a second time",
        (_T_EGRESS,),
    ),
    Semantic(
        "the rest of a frame follows",
        _CONNECTION,
        "        if count == len(sealed):\n",
        "        if count < len(sealed):\n            self._tail = sealed[count:]\n        if count:\n",
        "an order of which a part was written is completed later, when nothing checks it any more",
        (_T_CONNECTION,),
    ),
    Semantic(
        "placement behind bytes that wait",
        _CONNECTION,
        "        if self.unsent_bytes():\n",
        "        if self.unsent_bytes() < 0:\n",
        "an order lies in the buffer of the kernel and leaves long after its last check",
        (_T_CONNECTION,),
    ),
    Semantic(
        "close for abort",
        _CONNECTION,
        "    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)\n",
        "",
        "what lies in the buffer of a connection that was given up is still delivered",
        (_T_CONNECTION,),
    ),
    Semantic(
        "lingering in place of a reset",
        _CONNECTION,
        '_ABORT = struct.pack("ii", 1, 0)\n',
        '_ABORT = struct.pack("ii", 0, 0)\n',
        "what lies in the buffer of a connection that was given up is still delivered",
        (_T_CONNECTION,),
    ),
    Semantic(
        "half-close for abort",
        _CONNECTION,
        "            connection.close()  # SO_LINGER 1, 0: the close is a reset\n",
        "            connection.shutdown(socket.SHUT_WR)\n            connection.detach()\n",
        "an orderly end delivers everything before it",
        (_T_CONNECTION,),
    ),
    Semantic(
        "no abort at the deadline of an answer",
        _LINE,
        '        timer = self._loop.call_later(within_ns / 1e9, self.abort, "no answer in time")\n',
        '        timer = self._loop.call_later(within_ns / 1e9, self._lost, about, "no answer in time")\n',
        "the order is unknown, and its frame may still leave on the connection that stays",
        (_T_WAY_OUT,),
    ),
    Semantic(
        "not found as absent",
        _ABSENCE,
        "    return Missing(tuple(what)) if what else Proven(not_before, counting)\n",
        "    return Proven(not_before, counting)\n",
        "an order that the lists do not show yet is taken for never placed, and placed again by the strategy",
        ("tests/gate/test_absence.py",),
    ),
    Semantic(
        "one look is enough for absent",
        _ABSENCE,
        "    if not reads >= rule.reads:\n",
        "    if not reads:\n",
        "a list that lags once hides an order that lives",
        ("tests/gate/test_absence.py",),
    ),
    Semantic(
        "absent without a later order in the same list",
        _ABSENCE,
        "    if not any(_later(orders, order, s.later_client_id) for s in mine):\n",
        "    if not mine:\n",
        "a list that stands still hides an order that lives",
        ("tests/gate/test_absence.py",),
    ),
    Semantic(
        "absent where requests do not expire",
        _ABSENCE,
        "    if rule.expiry is not Expiry.WITH:\n",
        "    if rule is None:\n",
        "a request that is delayed for minutes places an order that was written off",
        ("tests/gate/test_absence.py",),
    ),
    Semantic(
        "a refused cancel ends the order",
        _MACHINE,
        "    Evidence.CANCEL_REFUSED: _row(([OPEN, PARTIAL], UNKNOWN, None)),\n",
        "    Evidence.CANCEL_REFUSED: _row(([SENT, ACKED, OPEN, PARTIAL, UNKNOWN], CANCELLED, None)),\n",
        '"not found" in answer to a cancel discharges it while the order rests at the venue',
        ("tests/gate/test_orders_machine.py", "tests/gate/test_cancels.py"),
    ),
    Semantic(
        "cancel behind the barrier",
        _EGRESS,
        "        known = self._keeper.state.orders.by_id\n",
        "        if self._keeper.journal.durable_lsn < self._keeper.journal.last_lsn:\n            return\n"
        "        known = self._keeper.state.orders.by_id\n",
        "a disk that stalls holds up the cancels",
        (_T_EGRESS, _T_REVIEW, _T_WAY_OUT),
    ),
    Semantic(
        "cancel on the connection of placements",
        _EGRESS,
        "            line, now = lines.free(), self._clock()\n",
        "            line, now = self._placing.free(), self._clock()\n",
        "a placement that does not get away holds up the cancels",
        (_T_EGRESS, _T_REVIEW, _T_WAY_OUT),
    ),
    Semantic(
        "a repeated cancel takes the same way again",
        _EGRESS,
        "cancel.attempts % len(ways)",
        "cancel.attempts * 0",
        "a way that swallows what it is given keeps an order from being cancelled",
        (_T_WAYS,),
    ),
    Semantic(
        "cancels know one way",
        _EGRESS,
        "        ways = [one for one in self._cancels_by if one.lines.is_open] or [self._cancels_by[0]]\n",
        "        ways = [self._cancels_by[0]]\n",
        "while the socket is gone nothing is cancelled, though there is another way",
        (_T_WAYS,),
    ),
    Semantic(
        "a connection for cancels waits for the room of placements",
        _EGRESS,
        "            wait_ns = self._meter.refused_ns(spend, boot_ns) or self._meter.fits_in_ns(cost, boot_ns)\n",
        "            wait_ns = self._meter.wait_ns(Spend.PLACE, cost, boot_ns)\n",
        "placements that were refused or have used up their part keep an order from being cancelled",
        (_T_WAYS,),
    ),
    Semantic(
        "an answer to nothing that was asked is left out",
        _SOCKET,
        "            if asked is None:\n                raise AnswerTrouble(",
        "            if asked is None:\n                return\n                raise AnswerTrouble(",
        "orders go on over a connection that answers what nobody asked",
        (_T_SOCKET,),
    ),
    Semantic(
        "requests before the venue has let us in",
        _SOCKET,
        "        return self._ready\n",
        "        return True\n",
        "an order is written into the opening of a connection, and nobody knows what became of it",
        (_T_SOCKET,),
    ),
    Semantic(
        "the venue's word of its end is not heard",
        _SOCKET,
        "            self._over = self._over or replied.over\n",
        "            self._over = False\n",
        "an order is written on a connection that takes none any more",
        (_T_SOCKET,),
    ),
    Semantic(
        "a closed socket is written on",
        _FRAMES,
        "                self._closed = opcode is Opcode.CLOSE\n",
        "                self._closed = False\n",
        "what a server says behind its close is taken for answers",
        (_T_FRAMES,),
    ),
    Semantic(
        "one mask for all frames",
        _SOCKET,
        "        return frame_of(Opcode.TEXT, frame, self._chance(MASK_BYTES))\n",
        "        return frame_of(Opcode.TEXT, frame, bytes(MASK_BYTES))\n",
        "what lies between may take the bytes of an order for something else (RFC 6455, 10.3)",
        (_T_SOCKET,),
    ),
    Semantic(
        "cancels go on after a kill",
        _EGRESS,
        "            if line is None or self._keeper.state.lattice.killed:\n",
        "            if line is None:\n",
        "cancels of the gate race the sweep of the sentinel",
        (_T_REVIEW,),
    ),
    Semantic(
        "unlisted code is a rejection",
        _VENUE,
        "    if not answer.ok and answer.code in wire.DEFINITIVE_CODES:\n",
        "    if not answer.ok:\n",
        "an error after the order was taken releases what it reserves, and the order lives",
        (_T_VENUE, _T_EGRESS),
    ),
    Semantic(
        "duplicate id is a rejection",
        _VENUE,
        "    if answer.code == wire.Code.DUPLICATE_CLIENT_ID:\n",
        "    if answer is None:\n",
        "the order that has the id is taken for rejected",
        (_T_VENUE, _T_REVIEW),
    ),
    Semantic(
        "last permitted, first sent",
        _EGRESS,
        "            planned, done = self._queue.popleft()\n",
        "            planned, done = self._queue.pop()\n",
        "orders reach the venue in another order than the journal has them",
        (_T_EGRESS, _T_WAY_OUT),
    ),
    Semantic(
        "sent without a permit in the journal",
        _EGRESS,
        '        if lsn is None:\n            return "no permit whose write is not over"\n',
        "        if lsn is None:\n            lsn = 0\n",
        "whoever can queue a frame can order",
        (_T_EGRESS,),
    ),
    Semantic(
        "other bytes than permitted",
        _CORE,
        "    if permitted.body_hash != hashlib.sha256(setup.wires[planned.venue].body(planned.frame)).hexdigest():\n",
        "    if permitted.body_hash is None:\n",
        "what leaves is not what was decided about",
        (_T_REVIEW,),
    ),
    Semantic(
        "limits not looked at again before the write",
        _CORE,
        "    if permitted.limits != state.limits.hash:\n",
        "    if permitted.limits is None:\n",
        "an order that the looser limits allowed leaves after a person tightened them",
        (_T_TIGHTENING,),
    ),
    Semantic(
        "reservation not counted in exposure",
        _CORE,
        "    exposure = _exposure(state, readings, kept)\n",
        "    exposure = _exposure(state, readings, kept[:0])\n",
        "others take the room that the second leg of a pair was promised, and its hedge does not fit any more",
        (_T_PAIRS,),
    ),
    Semantic(
        "a plan's own second leg not counted beside its first",
        _CORE,
        "        begun, exposure = pair, reservation.beside(exposure, pair, intent)\n",
        "        begun = pair\n",
        "the order that begins a pair is judged as if nothing followed it",
        (_T_PAIRS,),
    ),
    Semantic(
        "second leg beyond proven fills",
        _PAIRS,
        "    if number == 1:\n        proven",
        "    if number > 1:\n        proven",
        "what answers executions that nobody has seen turns the pair's sign when they do not come",
        (_T_PAIRS,),
    ),
    Semantic(
        "journal failure lets the order go",
        _KEEPER,
        "        if self.journal.failure is not None:\n            raise self.journal.failure\n",
        "        if self.journal.failure is not None:\n            return\n",
        "with a broken disk every order leaves without a record",
        (_T_REVIEW, _T_WAY_OUT),
    ),
    Semantic(
        "write behind the end of the stream",
        _SEALING,
        "        if self._over:\n            raise SealTrouble(self._over)\n",
        "",
        "an order goes to a venue that has said that it reads no more, and nobody knows what became of it",
        (_T_SEALING,),
    ),
    Semantic(
        "an answer over HTTP about another order",
        _HTTP,
        "            if said.client_id != client_id or len(said.venue_order_id) > LONGEST_TEXT:\n",
        "            if len(said.venue_order_id) > LONGEST_TEXT:\n",
        "an order counts as taken because another was",
        (_T_HTTP,),
    ),
    Semantic(
        "whatever is no yes over HTTP is a rejection",
        _HTTP,
        "        if said.settled:\n",
        "        if True:\n",
        "an order that rests at the venue is taken for one that never was",
        (_T_HTTP,),
    ),
)
