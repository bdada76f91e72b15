"""Mutants that no test can or need notice, each with the reason."""

from __future__ import annotations

from typing import NamedTuple


class Equivalent(NamedTuple):
    """A mutant as the result names it, and why it may live. `at` is the text of the line, so that the entry dies with it."""

    file: str
    function: str
    at: str
    before: str
    after: str
    why: str


_GATE = "src/interlock/gate/"
_SHORT = "a short cut: what follows says the same"
_SEND = "the socket does not block already"
_TYPES = "only annotations name it, and nothing evaluates them"
_CLOEXEC = "Python opens every descriptor so that no other program inherits it"
_SIDE = "a side is 1 or -1 and never 0, by which multiplying and dividing are the same"
_ZERO = "a side is never 0"
_NONE = "an order that is not known has no facts: the type checker alone asks for both"
_UNKNOWN = "of all but the first figure: the unknown gross has denied before they are looked at"
_SIGNAL = "Python ignores the signal of a broken pipe in every process"

EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        _GATE + "absence.py",
        "_later",
        "return later is not None and later.market == order.market and later.sign_wall_ns > order.sign_wall_ns > 0",
        "later.sign_wall_ns > order.sign_wall_ns > 0",
        "(later.sign_wall_ns > order.sign_wall_ns >= 0)",
        "`judge` has refused an order without a time of signature before it asks",
    ),
    Equivalent(
        _GATE + "arming.py",
        "_permitted",
        "if not state.armed or record.grant_id != state.armed or state.purpose is Purpose.TRADE or state.spent_by:",
        "not state.armed or record.grant_id != state.armed or state.purpose is Purpose.TRADE or state.spent_by",
        "(record.grant_id != state.armed or state.purpose is Purpose.TRADE or state.spent_by)",
        "the fold knows the purpose of a drill only together with the name of its grant, so that without one it is that of trading",
    ),
    Equivalent(
        _GATE + "arming.py",
        "_disarmed",
        "if state.armed and state.purpose is not Purpose.TRADE:",
        "state.armed and state.purpose is not Purpose.TRADE",
        "(state.purpose is not Purpose.TRADE)",
        "`_over` ends nothing where there is no grant",
    ),
    Equivalent(
        _GATE + "attest_desk.py",
        "AttestDesk.attest",
        "if against or key is None:",
        "against or key is None",
        "(against)",
        "without a key there is something against it: the type checker alone asks for both",
    ),
    Equivalent(
        _GATE + "attest_desk.py",
        "AttestDesk._disarm",
        "carried = found.leaning is not None and ends_wall_ns <= found.leaning.until_wall_ns",
        "found.leaning is not None and ends_wall_ns <= found.leaning.until_wall_ns",
        "(ends_wall_ns <= found.leaning.until_wall_ns)",
        "what is recorded attests something that is not told, so that it is leaned on: the type checker alone asks",
    ),
    Equivalent(
        _GATE + "attest_desk.py",
        "_refuse_facts",
        "if ends and not (wall_ns < ends < LATEST_WALL_NS and ends % NS_PER_DAY == 0):",
        "wall_ns < ends < LATEST_WALL_NS",
        "(wall_ns < ends <= LATEST_WALL_NS)",
        "the latest time is no midnight",
    ),
    Equivalent(
        _GATE + "attest_desk.py",
        "_refuse_facts",
        "if said is None or told is None or said == told or (name == ENDS and said and (not told or said < told)):",
        "said < told",
        "(said <= told)",
        "that the two are the same was asked before",
    ),
    Equivalent(
        _GATE + "attest_desk.py",
        "_shown",
        'return day(value) if 0 <= value < LATEST_WALL_NS else f"{value} ns"',
        "0 <= value < LATEST_WALL_NS",
        "(0 <= value <= LATEST_WALL_NS)",
        "how one time of the year 2262 is told decides nothing",
    ),
    *(
        Equivalent(_GATE + "attested.py", "", "Said = KeyScope | KeyAttested | Attest", before, after, _TYPES)
        for before, after in (
            ("KeyScope | KeyAttested", "(KeyScope)"),
            ("KeyScope | KeyAttested", "(KeyAttested)"),
            ("KeyScope | KeyAttested | Attest", "(KeyScope | KeyAttested)"),
            ("KeyScope | KeyAttested | Attest", "(Attest)"),
        )
    ),
    *(
        Equivalent(_GATE + "arming.py", "", "Event = Record | Challenged | CeremonyFailed | Minted", before, after, _TYPES)
        for before, after in (
            ("Record | Challenged", "(Record)"),
            ("Record | Challenged", "(Challenged)"),
            ("Record | Challenged | CeremonyFailed", "(Record | Challenged)"),
            ("Record | Challenged | CeremonyFailed", "(CeremonyFailed)"),
            ("Record | Challenged | CeremonyFailed | Minted", "(Record | Challenged | CeremonyFailed)"),
            ("Record | Challenged | CeremonyFailed | Minted", "(Minted)"),
        )
    ),
    Equivalent(
        _GATE + "arming.py",
        "_may_mint",
        "asked is not None",
        "asked is not None\n"
        "        and asked.purpose is grant.purpose\n"
        "        and asked.nonce == grant.grant_id\n"
        "        and (asked.binding, asked.cap_usd) == (grant.binding, grant.cap_usd)\n"
        "        and asked.alive(event.record.boot_ns)\n"
        "        and event.record.grant == grant\n"
        "        and grant.grant_id not in machine.arming.used\n"
        "        and grant.binding.incarnation == machine.arming.incarnation\n"
        "        and (grant.purpose is Purpose.TRADE or _is_drill(asked, grant))",
        "(asked is not None and asked.purpose is grant.purpose and (asked.nonce == grant.grant_id) and "
        "((asked.binding, asked.cap_usd) == (grant.binding, grant.cap_usd)) and asked.alive(event.record.boot_ns) and "
        "(event.record.grant == grant) and (grant.grant_id not in machine.arming.used) and "
        "(grant.purpose is Purpose.TRADE or _is_drill(asked, grant)))",
        "a second line: a challenge of another process life is not kept, a boot drops the one that is, and the binding is that of the challenge",
    ),
    Equivalent(
        _GATE + "cancels.py",
        "_repeat_boot_ns",
        "doubled = pause.first_ns << min(max(owed.attempts - 1, 0), 40)",
        "40",
        "41",
        "a pause doubled so often is beyond the longest one either way",
    ),
    Equivalent(
        _GATE + "cancels.py",
        "due",
        "if owed is None or order.state not in CANCELLABLE:",
        "owed is None or order.state not in CANCELLABLE",
        "(order.state not in CANCELLABLE)",
        "the index holds only orders that owe a cancel; the question tells the type checker",
    ),
    Equivalent(
        _GATE + "connection.py",
        "",
        '_ABORT = struct.pack("ii", 1, 0)',
        "1",
        "2",
        "the kernel asks only whether it is zero",
    ),
    Equivalent(
        _GATE + "connection.py",
        "prepare",
        "connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)",
        "1",
        "2",
        "the kernel asks only whether it is zero",
    ),
    Equivalent(
        _GATE + "connection.py",
        "OrderConnection.unsent_bytes",
        "request = _SIOCOUTQ if self._socket.family == socket.AF_UNIX else _SIOCOUTQNSD",
        "self._socket.family == socket.AF_UNIX",
        "True",
        "counts bytes that were sent and not acknowledged as well, which is stricter; on loopback there are none",
    ),
    *(
        Equivalent(_GATE + "connection.py", function, at, "socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL", after, why)
        for function, at in (
            ("OrderConnection.place", "count = self._socket.send(sealed, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)"),
            ("OrderConnection.flush", "count = self._socket.send(self._tail, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)"),
        )
        for after, why in (("(socket.MSG_DONTWAIT)", _SIGNAL), ("(socket.MSG_NOSIGNAL)", _SEND))
    ),
    Equivalent(
        _GATE + "connection.py",
        "OrderConnection.lower",
        "if self._socket is None:",
        "self._socket is None",
        "False",
        "`flush` says the same of a closed connection, and nothing reads what was added to the tail",
    ),
    *(
        Equivalent(
            _GATE + "connection.py",
            "OrderConnection.receive",
            "data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)",
            before,
            after,
            "how much is read at once; the rest is read by the next call",
        )
        for before, after in (("1", "2"), ("16", "17"))
    ),
    Equivalent(
        _GATE + "connection.py",
        "OrderConnection.abort",
        'self._tail = b""',
        'self._tail = b""',
        "pass",
        "nothing reads the tail of a closed connection",
    ),
    Equivalent(
        _GATE + "evaluate.py",
        "_subject",
        "if facts is None or venue is None or symbol is None or strategy is None or asset is None:",
        "facts is None or venue is None or symbol is None or strategy is None or asset is None",
        "(venue is None or symbol is None or strategy is None or (asset is None))",
        "what has no facts has no asset either; the question tells the type checker",
    ),
    *(
        Equivalent(_GATE + "evaluate.py", function, at, before, after, why)
        for function, why, changes in (
            (
                "_permission",
                "anything but 0 denies by this rule, and the words are those of the row",
                (
                    ('yield ("allow", 0 if allowed else -1, 0, told)', "-1", "(1)"),
                    ('yield ("allow", 0 if allowed else -1, 0, told)', "1", "2"),
                    ("0 if reference is not None and reference.quote.trading is True else -1,", "-1", "(1)"),
                    ("0 if reference is not None and reference.quote.trading is True else -1,", "1", "2"),
                ),
            ),
            (
                "_inputs",
                "anything but 0, and any age below 0, denies by this rule, and the words are those of the problem",
                (
                    ("age = -1 if problem else s.boot_ns - s.references.references[s.place].quote.boot_ns", "1", "2"),
                    ('yield ("engine_books", -1 if problem else 0, 0, problem)', "-1", "(1)"),
                    ('yield ("engine_books", -1 if problem else 0, 0, problem)', "1", "2"),
                    ('yield ("usd_rates", -1 if problem else 0, 0, problem)', "-1", "(1)"),
                    ('yield ("usd_rates", -1 if problem else 0, 0, problem)', "1", "2"),
                ),
            ),
            (
                "_collars",
                "any value below 0 denies by this rule, and the words are those of the problem",
                (('yield ("max_drift", -1 if problem else moved, symbol.max_drift_millionths, problem)', "1", "2"),),
            ),
            (
                "_collar",
                "any value below 0 denies by this rule, and the words are those of the row",
                (('return (name, -1, collar_millionths, f"{told}: more than {collar_millionths} millionths away")', "1", "2"),),
            ),
            (
                "_collar",
                "a side is 1 or -1",
                (
                    (
                        "return (name, limits.product_up(max(0, (2 * ticks - twice) * side), 1_000_000, 1, twice), collar_millionths, told)",
                        "(2 * ticks - twice) * side",
                        "((2 * ticks - twice) // side)",
                    ),
                ),
            ),
            (
                "_sizes",
                "a side is 1 or -1",
                (
                    ("if s.side > 0:", "s.side > 0", "(s.side >= 0)"),
                    ("spot_sell = s.facts.kind is Kind.SPOT and s.side < 0", "s.side < 0", "(s.side <= 0)"),
                ),
            ),
            (
                "_exposures",
                "of an order that shrinks and reduces none of the three is told",
                (("gross, here, naked = (0, 0, 0) if s.shrinks and s.reduces else _worst_values(s)", "0", "1"),),
            ),
            (
                "_exposures",
                "any time below 0 denies in the same words",
                (
                    ("since = s.exposure.naked_since_boot_ns.get(s.facts.asset, -1)", "1", "2"),
                    ("for_ns = s.boot_ns - since if since >= 0 else -1", "1", "2"),
                ),
            ),
            (
                "_exposures",
                "no time is inside every bound, and then the words are not used",
                (
                    (
                        'yield ("max_naked_time", for_ns, s.asset.max_naked_ns, "not known since when" if for_ns < 0 else "")',
                        "for_ns < 0",
                        "(for_ns <= 0)",
                    ),
                ),
            ),
            (
                "_worst_values",
                "an order that shows the value of its venue shows the gross before it, which is as unknown and denies",
                tuple(("return -1, -1, -1", *change) for change in (("-1", "(1)"), ("1", "0"), ("1", "2"))),
            ),
            (
                "_worst_values",
                "`naked_value` asks only for the instruments of the asset",
                (("if universe.facts[place].asset == s.facts.asset:", "universe.facts[place].asset == s.facts.asset", "True"),),
            ),
            (
                "_worst_values",
                "of equal prices of an instrument either may stay",
                (
                    (
                        "if place not in prices or dearest > prices[place][0]:",
                        "dearest > prices[place][0]",
                        "(dearest >= prices[place][0])",
                    ),
                ),
            ),
            (
                "_margins",
                "an age below 0 denies before any figure of the equity is looked at",
                tuple(
                    ("equity, age = (-1, -1) if reading is None else (reading.micro_usd, s.boot_ns - reading.boot_ns)", *change)
                    for change in (("-1", "(1)"), ("1", "0"), ("1", "2"))
                ),
            ),
            (
                "_margins",
                "no age is inside every bound, and then the words are not used",
                (
                    (
                        'yield ("freshness_equity", age, s.sheet.account.freshness_equity_ns, '
                        '"the account\'s equity is not known" if age < 0 else "")',
                        "age < 0",
                        "(age <= 0)",
                    ),
                ),
            ),
            (
                "_losses",
                "any age below 0 denies in the same words, no age is inside every bound, and anything but 0 is a latch",
                (
                    ("age = -1 if losses.marked_boot_ns is None else s.boot_ns - losses.marked_boot_ns", "1", "2"),
                    (
                        'yield ("freshness_mark", 0 if lowering else age, account.freshness_mark_ns, '
                        '"profit and loss are not known" if age < 0 else "")',
                        "age < 0",
                        "(age <= 0)",
                    ),
                    *(
                        (
                            'yield ("loss_latch", 0 if lowering or losses.latched is False else -1, 0, '
                            '"a loss was seen that stops until a person clears the latch")',
                            *change,
                        )
                        for change in (("-1", "(1)"), ("1", "2"))
                    ),
                ),
            ),
        )
        for at, before, after in changes
    ),
    *(
        Equivalent(_GATE + file, function, at, before, after, why)
        for file, function, at, why, changes in (
            (
                "exposure.py",
                "universe_of",
                "units.update(zip(places, (count // common for count in counts), strict=True))",
                "there is one count for each place",
                (("True", "False"),),
            ),
            (
                "exposure.py",
                "valuation_of",
                "while exact * denominator < SCALE_DIGITS and (exact * denominator).denominator != 1:",
                "as many steps as that are a whole number, which ends the loop as well",
                (("exact * denominator < SCALE_DIGITS", "(exact * denominator <= SCALE_DIGITS)"),),
            ),
            (
                "exposure.py",
                "valuation_of",
                "initial=tuple((top, math.ceil(rate * 1_000_000)) for top, (_, rate, _) in zip(tops, facts.tiers, strict=True)),",
                "there is one top for each tier",
                (("True", "False"),),
            ),
            (
                "exposure.py",
                "valuation_of",
                "maintenance=tuple((top, math.ceil(rate * 1_000_000)) for top, (_, _, rate) in zip(tops, facts.tiers, strict=True)),",
                "there is one top for each tier",
                (("True", "False"),),
            ),
            ("exposure.py", "Load.with_order", "if side > 0:", "a side is 1 or -1", (("side > 0", "(side >= 0)"),)),
            (
                "exposure.py",
                "naked_since",
                "since[asset] = None if not limits.outside(value, tolerance.get(asset, -1)) else boot_ns if began is None else began",
                "any bound below 0 has everything outside",
                (("1", "2"),),
            ),
            (
                "exposure.py",
                "shrinks",
                "return load.low >= lots if side < 0 else load.high <= -lots",
                "a side is 1 or -1",
                (("side < 0", "(side <= 0)"),),
            ),
            (
                "exposure.py",
                "reduces",
                "return low >= units if side < 0 else high <= -units",
                "a side is 1 or -1",
                (("side < 0", "(side <= 0)"),),
            ),
            (
                "references.py",
                "_reference",
                "while first + 1 < len(samples) and samples[first + 1][0] <= begin:",
                "the last sample is the reading itself, which no window leaves out; asking for the end is a second line",
                (
                    ("1", "0"),
                    ("1", "2"),
                    ("first + 1", "(first - 1)"),
                    ("first + 1 < len(samples)", "(first + 1 <= len(samples))"),
                    ("first + 1 < len(samples) and samples[first + 1][0] <= begin", "(samples[first + 1][0] <= begin)"),
                ),
            ),
            (
                "references.py",
                "with_rate",
                "if rate.source is not FxSource.CONFIGURED and rate.bid.is_finite() and rate.ask.is_finite() and 0 < rate.bid <= rate.ask:",
                "a rate of nothing is left out below, as one that rounds to nothing",
                (("0 < rate.bid <= rate.ask", "(0 <= rate.bid <= rate.ask)"),),
            ),
            *(
                ("references.py", "peer_twice_ticks", at, "a side is 1 or -1", (("side > 0", "(side >= 0)"),))
                for at in (
                    "own_numerator *= own.high_pico_usd if side > 0 else own.low_pico_usd",
                    "other_numerator *= other.low_pico_usd if side > 0 else other.high_pico_usd",
                    "if side > 0:",
                )
            ),
            (
                "limit_sheet.py",
                "",
                "LONGEST_NS = 86_400_000_000_000",
                "a sheet gives whole milliseconds, and of those the most are as many",
                (("86_400_000_000_000", "86400000000001"),),
            ),
            (
                "limit_sheet.py",
                "_Reader._same_keys",
                "near = get_close_matches(key, expected, n=1)",
                "the nearest is the first of however many",
                (("1", "2"),),
            ),
            (
                "throttles.py",
                "_filled",
                "closing = min(fill.lots, abs(trip.lots)) if trip.lots * signed < 0 else 0",
                "a quotient is below 0 when a product is, rounded down as it is; and of nothing held nothing is closed",
                (("trip.lots * signed", "(trip.lots // signed)"), ("trip.lots * signed < 0", "(trip.lots * signed <= 0)")),
            ),
            ("throttles.py", "_forget", "if gone:", "taking nothing away changes nothing", (("gone", "True"),)),
            (
                "throttles.py",
                "_trips",
                "if signature[0] != strategy or len(times) < limit.max_identical_orders_count:",
                "a short cut: no more of them lie within the window than there are",
                (("signature[0] != strategy or len(times) < limit.max_identical_orders_count", "(signature[0] != strategy)"),),
            ),
        )
        for before, after in changes
    ),
    Equivalent(
        _GATE + "lattice.py",
        "effective_level",
        "if state.latches or state.trips:",
        "state.latches or state.trips",
        "True",
        _SHORT,
    ),
    Equivalent(
        _GATE + "lattice.py",
        "_use",
        "if not nonce or nonce in state.nonces:",
        "not nonce or nonce in state.nonces",
        "(not nonce)",
        "a set with what it has already is the same set",
    ),
    *(
        Equivalent(_GATE + "order_machine.py", "", "Step = tuple[OrderState, Violation | None]", "Violation | None", after, _TYPES)
        for after in ("(None)", "(Violation)")
    ),
    Equivalent(
        _GATE + "order_state.py",
        "forget",
        "if orders.ending:",
        "orders.ending",
        "True",
        _SHORT,
    ),
    *(
        Equivalent(
            _GATE + "order_state.py",
            "forget",
            "if order.ended_boot_ns == NEVER_NS and order.state.final and not order.reserved_lots:",
            "order.ended_boot_ns == NEVER_NS and order.state.final and not order.reserved_lots",
            after,
            "a second line of defence: no record brings an order back that it has ended itself, nor lets it owe anything after that",
        )
        for after in (
            "(order.ended_boot_ns == NEVER_NS and (not order.reserved_lots))",
            "(order.ended_boot_ns == NEVER_NS and order.state.final)",
        )
    ),
    Equivalent(
        _GATE + "order_state.py",
        "keep",
        "elif order.ended_boot_ns == NEVER_NS:",
        "order.ended_boot_ns == NEVER_NS",
        "True",
        "a short cut: `forget` asks the same before it notes an end",
    ),
    Equivalent(
        _GATE + "order_reports.py",
        "reversal",
        'client_id, lots = orders.fills.get(key, ("", 0))',
        "0",
        "1",
        "no order has an empty client id, and without an order nobody asks for the lots",
    ),
    Equivalent(
        _GATE + "orders.py",
        "_intent",
        "if not (record.lots > 0 and record.ticks >= 0 and record.revision >= 0):",
        "record.lots > 0 and record.ticks >= 0 and record.revision >= 0",
        "(record.lots > 0 and record.ticks >= 0)",
        "a revision below 0 is neither the first nor the next after any, and is ignored for that",
    ),
    Equivalent(
        _GATE + "reconcile.py",
        "_order",
        "under_way = bool(expected) and 0 < open_lots < max(expected) and position_explained",
        "0 < open_lots < max(expected)",
        "(0 < open_lots <= max(expected))",
        "a size that is expected was no difference, and has been answered above",
    ),
    Equivalent(
        _GATE + "reconcile.py",
        "_count_flight",
        "elif sign > 0:",
        "sign > 0",
        "(sign >= 0)",
        "a side is 1 or -1",
    ),
    Equivalent(
        _GATE + "reconcile.py",
        "_positions",
        "known = {symbol for venue, account, symbol in ledger.positions if (venue, account) == (snapshot.venue, snapshot.account)}",
        "(venue, account) == (snapshot.venue, snapshot.account)",
        "True",
        "a market of another account has no position, no snapshot and nothing under way on this one, and so no difference",
    ),
    *(
        Equivalent(_GATE + "ledger.py", "", "NO_FLOOR = -(1 << 63)", before, after, "any time of a venue is later, either way")
        for before, after in (("1", "2"), ("63", "64"))
    ),
    Equivalent(
        _GATE + "ledger.py",
        "exact_sum",
        "return Context(prec=400, traps=[]).add(a, b)",
        "400",
        "401",
        "no amount of money has so many digits, either way",
    ),
    Equivalent(
        _GATE + "ledger.py",
        "_flag",
        "ledger.flags_gone[oldest[0]] = max(gone, ledger.flags_gone.get(oldest[0], 0))",
        "0",
        "1",
        "the 0 that is taken where nothing is gone yet: what was flagged was flagged once at least",
    ),
    Equivalent(
        _GATE + "ledger.py",
        "_trade",
        "if held * signed_lots < 0:",
        "held * signed_lots",
        "(held // signed_lots)",
        "the quotient is rounded down, so that it is below 0 when the product is; nobody trades 0 lots",
    ),
    Equivalent(
        _GATE + "ledger.py",
        "_trade",
        "sign = 1 if signed_lots > 0 else -1",
        "signed_lots > 0",
        "(signed_lots >= 0)",
        "nobody trades 0 lots",
    ),
    Equivalent(
        _GATE + "permission.py",
        "permission",
        "if drill and state.spent_by and state.spent_by != client_id:",
        "drill and state.spent_by and state.spent_by != client_id",
        "(state.spent_by and state.spent_by != client_id)",
        "the fold lets only the grant of a drill be spent, and forgets it with that grant",
    ),
    Equivalent(
        _GATE + "permission.py",
        "_symbol_denial",
        "if held.symbols is now.symbols or triple in now.symbols:",
        "held.symbols is now.symbols or triple in now.symbols",
        "(triple in now.symbols)",
        "a short cut: the triple is one of those held, so that in the same tuple it is found",
    ),
    Equivalent(
        _GATE + "egress.py",
        "",
        "answer_ns: int = 2_000_000_000,",
        "2_000_000_000",
        "2000000001",
        "a nanosecond of two seconds; the timers of the loop are no finer",
    ),
    Equivalent(
        _GATE + "egress.py",
        "Egress._write",
        "left_ns = max(planned.deadline_boot_ns - self._clock().boot_ns, 0)",
        "0",
        "1",
        "no time and a nanosecond both end in the next turn of the loop",
    ),
    Equivalent(_GATE + "keeper.py", "Keeper._unanswered", "return False", "False", "None", "nobody asks more than whether it is true"),
    Equivalent(
        _GATE + "order_line.py",
        "OrderLine.__init__",
        'self._ended = ""',
        'self._ended = ""',
        "pass",
        "it is read when the connection has ended, and then it was set",
    ),
    Equivalent(
        _GATE + "order_line.py",
        "OrderLine.abort",
        "descriptor, self._descriptor = self._descriptor, -1",
        "1",
        "2",
        "any number below 0 is no descriptor",
    ),
    Equivalent(
        _GATE + "order_line.py",
        "OrderLine.abort",
        "flight.timer.cancel()",
        "flight.timer.cancel()",
        "pass",
        "a timer that fires on a line that was given up finds nothing in flight",
    ),
    Equivalent(
        _GATE + "keeper.py",
        "",
        "_LOOK_AGAIN_S = 0.0002",
        "0.0002",
        "0.002",
        "how soon it is looked again; what is found is the same",
    ),
    Equivalent(
        _GATE + "core.py",
        "recheck",
        "if state.live is None or state.live.grant.grant_id != permitted.grant_id:",
        "state.live is None or state.live.grant.grant_id != permitted.grant_id",
        "(state.live.grant.grant_id != permitted.grant_id)",
        "without a living grant the permission above is for nothing; the question tells the type checker",
    ),
    Equivalent(
        _GATE + "core.py",
        "_judge",
        "if live is None or may.may is May.NOTHING:",
        "live is None or may.may is May.NOTHING",
        "(may.may is May.NOTHING)",
        "without a living grant the permission is for nothing; the question tells the type checker",
    ),
    *(
        Equivalent(_GATE + "core.py", function, 'return ""', '""', "None", "nobody asks more than whether there is a text")
        for function in ("_malformed", "_out_of_range")
    ),
    Equivalent(
        _GATE + "verbs.py",
        "",
        "_RANK = {Level.RUN: 3, Level.REDUCE_ONLY: 2, Level.CANCEL_ONLY: 1, Level.HALT: 0}",
        "Level.HALT",
        "(taken away)",
        "what is not in the table counts as HALT",
    ),
    Equivalent(
        _GATE + "verbs.py",
        "lower",
        "return a if _RANK[a] <= _RANK[b] else b",
        "_RANK[a] <= _RANK[b]",
        "(_RANK[a] < _RANK[b])",
        "levels of equal rank are the same level",
    ),
    *(
        Equivalent(_GATE + "verbs.py", "", f"{verb}: _NOBODY,", verb, "(taken away)", "who is not in the row may not, as `_NOBODY` may not")
        for verb in ("Verb.NEW_RISK", "Verb.REDUCE")
    ),
    *(
        Equivalent(
            _GATE + "margin.py",
            "_one",
            "return (-1, -1, -1, -1, -1, -1)",
            before,
            after,
            "one part below 0 makes the whole unknown, and the others are",
        )
        for before, after in (("-1", "(1)"), ("1", "0"), ("1", "2"))
    ),
    *(
        Equivalent(
            _GATE + "margin.py", "_one", "if long < 0 or short < 0:", before, after, "a value below 0 makes each later part unknown as well"
        )
        for before in ("long < 0 or short < 0",)
        for after in ("(long < 0 and short < 0)", "(long < 0)", "(short < 0)", "False")
    ),
    *(
        Equivalent(_GATE + "margin.py", function, at, "1", "2", "any figure below 0 means unknown")
        for function, at in (
            ("_sum", "return -1 if a < 0 or b < 0 else a + b"),
            ("_worse", "return -1 if a < 0 or b < 0 else max(a, b)"),
        )
    ),
    Equivalent(
        _GATE + "margin.py",
        "_sum",
        "return -1 if a < 0 or b < 0 else a + b",
        "a < 0 or b < 0",
        "(b < 0)",
        "where the first is unknown, the value of the position is, and with it every margin",
    ),
    Equivalent(
        _GATE + "margin.py",
        "margin_need",
        "if load.low == 0 == load.high:",
        "load.low == 0 == load.high",
        "False",
        "a short cut: nothing held needs nothing",
    ),
    *(
        Equivalent(_GATE + "limits.py", function, at, before, after, why)
        for function, at, why, changes in (
            ("", "SMALL = 1 << 31", _SHORT, (("1", "0"), ("1 << 31", "(1 >> 31)"))),
            (
                "product_overflows",
                "if a < SMALL and b < SMALL:",
                _SHORT,
                (("a < SMALL and b < SMALL", "False"), ("a < SMALL", "(a <= SMALL)"), ("b < SMALL", "(b <= SMALL)")),
            ),
            (
                "product_up",
                "if a == 0 or b == 0:",
                _SHORT,
                tuple(("a == 0 or b == 0", after) for after in ("(a == 0 and b == 0)", "(a == 0)", "(b == 0)", "False")),
            ),
            (
                "product_up",
                "if (a >= SMALL or b >= SMALL) and product_overflows(a, b):",
                _SHORT,
                (
                    ("(a >= SMALL or b >= SMALL) and product_overflows(a, b)", "(product_overflows(a, b))"),
                    ("a >= SMALL", "(a > SMALL)"),
                    ("b >= SMALL", "(b > SMALL)"),
                ),
            ),
            (
                "product_up",
                "while numerator > 1 and product > MAX_PRODUCT // numerator:",
                "a product by itself has been checked already",
                (
                    ("numerator > 1", "(numerator >= 1)"),
                    ("numerator > 1 and product > MAX_PRODUCT // numerator", "(product > MAX_PRODUCT // numerator)"),
                ),
            ),
            ("exceeds_position", "if side > 0:", "a side is 1 or -1", (("side > 0", "(side >= 0)"),)),
            (
                "exceeds_collar",
                "away = (2 * ticks - reference_twice_ticks) * side",
                "a side is 1 or -1",
                (("(2 * ticks - reference_twice_ticks) * side", "((2 * ticks - reference_twice_ticks) // side)"),),
            ),
            (
                "tightened",
                "if not (0 < factor_millionths <= 1_000_000 and bound >= 0):",
                "nothing times anything is nothing",
                (("0 < factor_millionths <= 1_000_000", "(0 <= factor_millionths <= 1000000)"), ("bound >= 0", "(bound > 0)")),
            ),
            (
                "range_millionths",
                "if not (0 < low <= high):",
                "`product_up` refuses the same",
                (("0 < low <= high", "(0 <= low <= high)"), ("not (0 < low <= high)", "False")),
            ),
            (
                "margin_of",
                "if 0 <= notional <= most:",
                "nothing held has been answered above",
                (("0 <= notional <= most", "(0 < notional <= most)"),),
            ),
        )
        for before, after in changes
    ),
    Equivalent(
        _GATE + "limits.py",
        "tightening",
        "if volatility_millionths <= at:",
        "volatility_millionths <= at",
        "(volatility_millionths < at)",
        "at a point, the line from it and the line to it have the same value",
    ),
    Equivalent(
        _GATE + "mandate.py",
        "_shrinks",
        "if leg.held_lots > 0:",
        "leg.held_lots > 0",
        "(leg.held_lots >= 0)",
        "of nothing neither side finds that it shrinks",
    ),
    *(
        Equivalent(_GATE + f"journal/{module}.py", function, at, before, after, why)
        for module, function, at, why, changes in (
            ("archive", "", "_PRESET: Final = 1", "how hard is packed: another size, the same content", (("1", "2"),)),
            (
                "barrier",
                "Journal.__init__",
                "self._claimed_bytes = 0",
                "every claim sets it before it is read; for the type checker alone",
                (("self._claimed_bytes = 0", "pass"), ("0", "1")),
            ),
            (
                "barrier",
                "Journal.append",
                "if not self._busy:",
                "the writer thread would wake, find somebody busy, and sleep again",
                (("not self._busy", "True"),),
            ),
            (
                "barrier",
                "Journal.flush",
                "if self._busy or not self._synced():",
                "in the moment before the writer thread takes up the sync a claim gives an empty batch, and the question is asked again",
                (("self._busy or not self._synced()", "(self._busy)"),),
            ),
            (
                "barrier",
                "Journal.flush",
                "self._done.wait()",
                "it would ask again and again until the same answer",
                (("self._done.wait()", "pass"),),
            ),
            (
                "barrier",
                "Journal._claim",
                "if count == len(self._queue):",
                "a quicker way: the costs of all that is queued are what is queued",
                (("count == len(self._queue)", "False"),),
            ),
            (
                "barrier",
                "Journal._perform",
                "if self._closing or self._failure is not None or self._has_work():",
                "the writer thread would wake, find nothing to do, and sleep again",
                (("self._closing or self._failure is not None or self._has_work()", "True"),),
            ),
            (
                "disk",
                "SystemDisk.open",
                "return SystemFile(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))",
                "reading only is 0",
                (("os.O_RDONLY | os.O_NOFOLLOW", "(os.O_NOFOLLOW)"),),
            ),
            (
                "disk",
                "SystemDisk.open",
                "return SystemFile(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))",
                _CLOEXEC,
                (("os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC", "(os.O_RDONLY | os.O_NOFOLLOW)"),),
            ),
            (
                "disk",
                "SystemDisk.create",
                "return SystemFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640))",
                "a name that must be new is not taken from a link: the kernel says that it is there",
                (("os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW", "(os.O_RDWR | os.O_CREAT | os.O_EXCL)"),),
            ),
            (
                "disk",
                "SystemDisk.create",
                "return SystemFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640))",
                _CLOEXEC,
                (
                    (
                        "os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC",
                        "(os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)",
                    ),
                ),
            ),
            (
                "disk",
                "SystemDisk.sync_directory",
                "descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)",
                "reading only is 0",
                (("os.O_RDONLY | os.O_DIRECTORY", "(os.O_DIRECTORY)"),),
            ),
            (
                "disk",
                "SystemDisk.sync_directory",
                "descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)",
                _CLOEXEC,
                (("os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC", "(os.O_RDONLY | os.O_DIRECTORY)"),),
            ),
            (
                "disk",
                "SystemDisk.lock",
                "descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)",
                _CLOEXEC,
                (("os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC", "(os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)"),),
            ),
            (
                "follow",
                "Follower.poll",
                "at = place_of(places, self.next_lsn) or 0",
                "the line above has raised it to a record that has a place; for the type checker alone",
                (("place_of(places, self.next_lsn) or 0", "(place_of(places, self.next_lsn))"),),
            ),
            (
                "segments",
                "SegmentReader.next",
                "if self.sealed or (self._until is not None and self.mark.lsn >= self._until.lsn):",
                "a short cut: the seal that was read is read again, and nothing is written behind one",
                (
                    (
                        "self.sealed or (self._until is not None and self.mark.lsn >= self._until.lsn)",
                        "(self._until is not None and self.mark.lsn >= self._until.lsn)",
                    ),
                ),
            ),
            (
                "segments",
                "SegmentReader._check",
                "batch.kind == BatchKind.RECORDS",
                "a second line: a batch of a kind that is not known is given no records, and none is not sound either",
                (
                    (
                        "batch.kind == BatchKind.RECORDS\n"
                        "                and batch.total == len(batch.records) > 0\n"
                        "                and next_chain(batch.previous, batch.payload) == batch.chain",
                        "(batch.total == len(batch.records) > 0 and next_chain(batch.previous, batch.payload) == batch.chain)",
                    ),
                ),
            ),
            ("segments", "SegmentReader._finish", "return False", "only its caller beside it asks whether it holds", (("False", "None"),)),
            (
                "segments",
                "SegmentReader._look_for_seal",
                "batch = None if self.sealed else self._read(self.offset)",
                "a short cut: the seal that was read is read and checked again",
                (("self.sealed", "False"),),
            ),
            (
                "segments",
                "SegmentReader._after",
                "if at > offset and at % BLOCK == 0 and self._read(at) is not None:",
                "nothing before `offset` is looked at, and a batch that has become whole there is found by the caller, who then drops this answer",
                (
                    ("at > offset", "(at >= offset)"),
                    ("at > offset and at % BLOCK == 0 and self._read(at) is not None", "(at % BLOCK == 0 and self._read(at) is not None)"),
                ),
            ),
            (
                "segments",
                "SegmentReader._after",
                "return at, True",
                "what was found later is told, and the rest not asked for",
                (("True", "False"),),
            ),
            (
                "segments",
                "SegmentReader._after",
                "found = chunk.find(BATCH_MAGIC, found + 1)",
                "no magic begins with the second byte of another",
                (("1", "2"),),
            ),
            (
                "writer",
                "SegmentWriter.__init__",
                'self.spare_problem = ""',
                "allocating the spare segment, further down, sets it or raises; for the type checker alone",
                (('self.spare_problem = ""', "pass"),),
            ),
        )
        for before, after in changes
    ),
    # What pairs, tightened limits and shared accounts brought
    Equivalent(
        _GATE + "reduction.py",
        "",
        "_SINGLE_LEG = MandateBounds(naked_cap_usd=_NOTHING_USD, loss_bound_usd=_NOTHING_USD, max_age_ns=0)",
        "0",
        "1",
        "a reduction on one instrument begins at the moment in which it is judged",
    ),
    Equivalent(
        _GATE + "reduction.py", "", "proven_lots: int = 0,", "0", "1", "only a hedge is held against what is proven, and it always says so"
    ),
    Equivalent(
        _GATE + "reduction.py",
        "clause_of",
        "group = state.group(intent.group, now.boot_ns) if intent.group else None",
        "intent.group",
        "True",
        "no group has an empty name",
    ),
    Equivalent(
        _GATE + "reduction.py",
        "_age_ns",
        "return group.deadline_boot_ns - group.began_boot_ns",
        "group.deadline_boot_ns - group.began_boot_ns",
        "(group.deadline_boot_ns + group.began_boot_ns)",
        "a group whose time is over is not found any more",
    ),
    Equivalent(
        _GATE + "reduction.py",
        "_hedge",
        "proven = 0",
        "0",
        "1",
        "of an instrument without facts the figures are no numbers, which refuses first",
    ),
    Equivalent(
        _GATE + "reduction.py",
        "_unhedged_units",
        "if order is None or facts is None:",
        "order is None or facts is None",
        "(facts is None)",
        _NONE,
    ),
    Equivalent(
        _GATE + "core.py",
        "_mandate",
        "group = state.group(intent.group, now.boot_ns) if intent.group else None",
        "intent.group",
        "True",
        "no group has an empty name",
    ),
    Equivalent(
        _GATE + "evaluate.py",
        "_exposures",
        "theirs = {} if s.shrinks else _burdens(s)",
        "s.shrinks",
        "False",
        "what only shrinks a position passes both bounds whatever others have",
    ),
    Equivalent(
        _GATE + "evaluate.py",
        "_with_theirs",
        "return -1 if min(values, default=0) < 0 or ours < 0 else ours + sum(values)",
        "0",
        "1",
        "where there is no burden the bound is asked of nothing",
    ),
    Equivalent(
        _GATE + "evaluate.py",
        "_with_theirs",
        "return -1 if min(values, default=0) < 0 or ours < 0 else ours + sum(values)",
        "ours < 0",
        "(ours <= 0)",
        "what does not only shrink is worth something, and for what does the result is not looked at",
    ),
    Equivalent(
        _GATE + "evaluate.py",
        "",
        "_UNKNOWN_BURDEN = Burden(-1, -1, -1, -1, -1, -1, -1)",
        "-1",
        "(1)",
        _UNKNOWN,
    ),
    Equivalent(
        _GATE + "evaluate.py",
        "",
        "_UNKNOWN_BURDEN = Burden(-1, -1, -1, -1, -1, -1, -1)",
        "1",
        "0",
        _UNKNOWN,
    ),
    Equivalent(_GATE + "tightening.py", "Change.looser", 'return ""', '""', "None", "nobody asks more than whether there is a reason"),
    Equivalent(
        _GATE + "tightening.py", "_tighter", "return bool(now <= was)", "now <= was", "(now < was)", "only what differs is asked about"
    ),
    Equivalent(
        _GATE + "tightening.py", "_tighter", "return bool(now >= was)", "now >= was", "(now > was)", "only what differs is asked about"
    ),
    Equivalent(
        _GATE + "tightening.py",
        "_tighter",
        "return same and all(after <= before for (_, before), (_, after) in zip(was, now, strict=True))",
        "True",
        "False",
        "the same points are equally many",
    ),
    Equivalent(_GATE + "tightening.py", "_tighter", "return False", "False", "None", "nobody asks more than whether it is true"),
    Equivalent(
        _GATE + "pairs.py",
        "standing",
        "direction = side * group.legs[0].side",
        "side * group.legs[0].side",
        "(side // group.legs[0].side)",
        _SIDE,
    ),
    Equivalent(_GATE + "pairs.py", "standing", "if direction > 0:", "direction > 0", "(direction >= 0)", _ZERO),
    Equivalent(_GATE + "pairs.py", "reserved", "for leg, lots in zip(group.legs, kept, strict=True):", "True", "False", "both are two"),
    Equivalent(
        _GATE + "pairs.py",
        "objection",
        "if (intent.ticks - leg.ticks) * leg.side > 0:",
        "(intent.ticks - leg.ticks) * leg.side",
        "((intent.ticks - leg.ticks) // leg.side)",
        _SIDE,
    ),
    Equivalent(
        _GATE + "pairs.py",
        "plan_objection",
        "if not same or not intent.lots <= first.lots or (intent.ticks - first.ticks) * first.side > 0:",
        "(intent.ticks - first.ticks) * first.side",
        "((intent.ticks - first.ticks) // first.side)",
        _SIDE,
    ),
    Equivalent(
        _GATE + "group_result.py",
        "naked_usd",
        "if order is None or facts is None:",
        "order is None or facts is None",
        "(facts is None)",
        _NONE,
    ),
    Equivalent(
        _GATE + "group_result.py", "naked_usd", "low += net - open_units * (order.side < 0)", "order.side < 0", "(order.side <= 0)", _ZERO
    ),
    Equivalent(
        _GATE + "group_result.py", "naked_usd", "high += net + open_units * (order.side > 0)", "order.side > 0", "(order.side >= 0)", _ZERO
    ),
    Equivalent(
        _GATE + "group_result.py",
        "naked_usd",
        "for worst in (widest(low, high), widest(low - adds * (intent.side < 0), high + adds * (intent.side > 0))):",
        "intent.side < 0",
        "(intent.side <= 0)",
        _ZERO,
    ),
    Equivalent(
        _GATE + "group_result.py",
        "naked_usd",
        "for worst in (widest(low, high), widest(low - adds * (intent.side < 0), high + adds * (intent.side > 0))):",
        "intent.side > 0",
        "(intent.side >= 0)",
        _ZERO,
    ),
    Equivalent(
        _GATE + "group_result.py",
        "_still_open",
        "if (ticks - (bid if order.side > 0 else ask)) * order.side > 0:",
        "(ticks - (bid if order.side > 0 else ask)) * order.side",
        "((ticks - (bid if order.side > 0 else ask)) // order.side)",
        _SIDE,
    ),
    Equivalent(
        _GATE + "group_result.py",
        "_still_open",
        "if (ticks - (bid if order.side > 0 else ask)) * order.side > 0:",
        "order.side > 0",
        "(order.side >= 0)",
        _ZERO,
    ),
    Equivalent(
        _GATE + "group_result.py",
        "_result_usd",
        "tick_lots = cash + lots * (bid if lots > 0 else ask)",
        "lots > 0",
        "(lots >= 0)",
        "no lots are worth nothing at either price",
    ),
    Equivalent(
        _GATE + "group_result.py",
        "_result_usd",
        "pico = valuation.low_pico_usd if tick_lots > 0 else valuation.high_pico_usd",
        "tick_lots > 0",
        "(tick_lots >= 0)",
        "nothing is worth nothing at either rate",
    ),
    Equivalent(
        _GATE + "group_result.py",
        "_fee_usd",
        "pico = valuation.high_pico_usd if charge.fee > 0 else valuation.low_pico_usd",
        "charge.fee > 0",
        "(charge.fee >= 0)",
        "a fee of nothing has been answered before",
    ),
    Equivalent(
        _GATE + "group_result.py",
        "_fee_usd",
        "ticks = quote.ask_ticks if charge.fee > 0 else quote.bid_ticks",
        "charge.fee > 0",
        "(charge.fee >= 0)",
        "a fee of nothing has been answered before",
    ),
    Equivalent(
        _GATE + "foreign.py",
        "at_either",
        "found[_name(order)] = order if known is None or known.open_lots < order.open_lots else known",
        "known.open_lots < order.open_lots",
        "(known.open_lots <= order.open_lots)",
        "of two that are as large either may be taken",
    ),
    Equivalent(
        _GATE + "foreign.py",
        "_loads",
        "if order.symbol in listings and order.open_lots > 0 and not (order.symbol in spot and order.side < 0):",
        "order.side < 0",
        "(order.side <= 0)",
        _ZERO,
    ),
    Equivalent(
        _GATE + "foreign.py",
        "_loads",
        "lots |= {symbol: held for symbol, held in bought.items() if held > 0}",
        "held > 0",
        "(held >= 0)",
        "nothing is left out below",
    ),
    Equivalent(
        _GATE + "evaluate.py", "", "_UNKNOWN_BURDEN = Burden(-1, -1, -1, -1, -1, -1, -1)", "1", "2", "whatever is negative is unknown"
    ),
    Equivalent(
        _GATE + "foreign.py",
        "burden_of",
        "low, high = rates.get(listing.quote, (Decimal(0), Decimal(0)))",
        "0",
        "1",
        "where either of the two is nothing it is no rate",
    ),
    Equivalent(
        _GATE + "foreign.py",
        "burden_of",
        "valuation = valuation_of(listing_facts(where[0], listing), math.floor(Fraction(low) * PICO), math.ceil(Fraction(high) * PICO))",
        "0",
        "1",
        "what an instrument is worth does not depend on the name of its venue",
    ),
    Equivalent(
        _GATE + "foreign.py",
        "burden_of",
        "gross = -1 if gross < 0 or value < 0 else gross + value",
        "value < 0",
        "(value <= 0)",
        "what is held or open is worth something, rounded up",
    ),
    *(
        Equivalent(
            _GATE + "sealing.py", "", "_CHUNK = 1 << 16", before, after, "how much is read at once; the rest is read in the next round"
        )
        for before, after in (("1", "2"), ("16", "17"))
    ),
    *(
        Equivalent(
            _GATE + "venue_http_wire.py", "HttpAnswers.__init__", at, before, after, "nothing is taken for an answer before one is expected"
        )
        for at, before, after in (
            ("self._number = 0", "0", "1"),
            ("self._number = 0", "self._number = 0", "pass"),
            ('self._asked = b""', 'self._asked = b""', "pass"),
        )
    ),
    *(
        Equivalent(_GATE + "egress.py", function, at, before, after, why)
        for function, at, before, after, why in (
            (
                "Egress._write_cancels",
                "break  # all of them have ended",
                "break",
                "continue",
                "nothing is due any more where none of what was due goes out",
            ),
            (
                "Egress._write_cancels",
                "break  # the venue wants no request now",
                "break",
                "continue",
                "only a refusal by the venue holds a cancel up, and that holds up the others too: they are taken out one by one",
            ),
            (
                "Egress._next_due",
                "del self._due[client_id]  # it needs none",
                "del self._due[client_id]",
                "pass",
                "what has ended is passed over each time, and forgotten with the rest",
            ),
        )
    ),
    *(
        Equivalent(
            _GATE + "venue_socket_wire.py",
            "SocketAnswers.__init__",
            "self._began_wall_ns = 0",
            before,
            after,
            "`begin` says it before the first byte is read; for the type checker alone",
        )
        for before, after in (("0", "1"), ("self._began_wall_ns = 0", "pass"))
    ),
    *(
        Equivalent(_GATE + "web_socket.py", function, at, before, after, why)
        for function, at, before, after, why in (
            (
                "masked",
                "key = (mask * (size // MASK_BYTES + 1))[:size]",
                "size // MASK_BYTES",
                "(size * MASK_BYTES)",
                "what is too long is cut off",
            ),
            ("masked", "key = (mask * (size // MASK_BYTES + 1))[:size]", "1", "2", "what is too long is cut off"),
            (
                "Upgrade._require_ours",
                "accepted = base64.b64encode(hashlib.sha1(self._key + _ACCEPTED, usedforsecurity=False).digest())",
                "False",
                "True",
                "a word to builds of OpenSSL that keep SHA-1 from being used for security; the digest is the same",
            ),
        )
    ),
    *(
        Equivalent(_GATE + "following.py", function, at, before, after, why)
        for function, at, before, after, why in (
            ("", "FOLLOW_EVERY_NS: Final = 250 * NS_PER_MS", "250", "251", "a millisecond of a quarter of a second"),
            ("", "MARKS_KEPT: Final = 4_096", "4_096", "4097", "one change more that is remembered, of thousands"),
            (
                "Following.__init__",
                "self._version = self._floor = max(boot_ns(), 1)",
                "1",
                "2",
                "whoever names no version names 0, and any number above that tells the difference",
            ),
            ("Following.note", "self._version += 1", "1", "2", "versions are compared and never counted"),
            ("Following._mark", "self._version += 1", "1", "2", "versions are compared and never counted"),
        )
    ),
    *(
        Equivalent(_GATE + module, "", at, before, after, why)
        for at, why, changes in (
            ("_NEVER_NS = -(1 << 62)", "any time before the clock began", (("1", "2"), ("62", "63"))),
            ("_EXACT = Context(prec=400, traps=[])", "no amount has so many digits", (("400", "401"),)),
        )
        for before, after in changes
        for module in ("market_watch.py", "money_watch.py")
    ),
    *(
        Equivalent(_GATE + "fee_watch.py", "", "_NEVER_NS = -(1 << 62)", before, after, "any time before the clock began")
        for before, after in (("1", "2"), ("62", "63"))
    ),
    *(
        Equivalent(_GATE + "money_watch.py", function, at, before, after, why)
        for function, at, why, changes in (
            (
                "equity_of",
                "if worth is None or gained is None:",
                "without a worth nothing was gained; the question tells the type checker",
                (("worth is None or gained is None", "(gained is None)"),),
            ),
            (
                "equity_of",
                "total += value * Fraction(rates[currency][0 if value > 0 else 1])",
                "a sum of 0 does not come here",
                (("value > 0", "(value >= 0)"),),
            ),
            (
                "_gained",
                "ticks = quote.mark_ticks or (quote.bid_ticks if holding.lots > 0 else quote.ask_ticks)",
                "a position of 0 does not come here",
                (("holding.lots > 0", "(holding.lots >= 0)"),),
            ),
            ("_add_balance", "if amount < 0:", "a balance of 0 does not come here", (("amount < 0", "(amount <= 0)"),)),
            (
                "_add_balance",
                "value = amount / Fraction(worth.lot) * Fraction(worth.tick_lot) * (quote.bid_ticks if amount > 0 else quote.ask_ticks)",
                "a balance of 0 does not come here",
                (("amount > 0", "(amount >= 0)"),),
            ),
            (
                "naked_values",
                "if facts is not None and valuation is not None and not refs.rate_problem(references, sheet, facts.quote, boot_ns):",
                "an instrument whose currency has a rate has a valuation if it is in the universe, and else none; each tells the type checker",
                tuple(
                    (
                        "facts is not None and valuation is not None and not refs.rate_problem(references, sheet, facts.quote, boot_ns)",
                        f"({one} is not None and (not refs.rate_problem(references, sheet, facts.quote, boot_ns)))",
                    )
                    for one in ("facts", "valuation")
                ),
            ),
            (
                "MoneyWatch.round",
                "if others is not None and before is not None:  # where nothing is unmanaged they are active in nothing",
                "there is one where there is the other; both questions tell the type checker",
                tuple(
                    ("others is not None and before is not None", after)
                    for after in ("(others is not None)", "(before is not None)", "(others is not None or before is not None)")
                ),
            ),
            (
                "MoneyWatch.round",
                "if others is not None and before is not None and shared:",
                "an account that is shared is one of which others are told; both questions tell the type checker",
                tuple(
                    ("others is not None and before is not None and shared", f"({one} is not None and shared)")
                    for one in ("others", "before")
                ),
            ),
        )
        for before, after in changes
    ),
    Equivalent(
        _GATE + "fee_watch.py",
        "FeeWatch._compared",
        "if rates is None or not self._holds(known, self._clock().boot_ns):",
        "rates is None or not self._holds(known, self._clock().boot_ns)",
        "(not self._holds(known, self._clock().boot_ns))",
        "rates that were never read are old; the question tells the type checker",
    ),
    Equivalent(
        _GATE + "fee_watch.py",
        "FeeWatch._compared",
        "return False",
        "False",
        "None",
        "whoever asks wants to know whether, and neither is yes",
    ),
)
