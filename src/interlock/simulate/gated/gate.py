"""One gate in the memory of a replay: its state is a fold of records, its decisions are `gate.core.decide`, its clock is the replay's.

What stands around the core of a live gate and has nothing to do with deciding is not here: journal, keys, connections, sentinel and checker count as
in order, and every answer of a venue comes. What the venue itself refuses is the matching model's to refuse. No dead-man of a venue counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.gate import core, throttles
from interlock.gate import records as r
from interlock.gate.absence import rule_for
from interlock.gate.condition_watch import cancels_called_for, may_rest
from interlock.gate.core import Effects
from interlock.gate.exposure import Equity, facts_of, universe_of
from interlock.gate.frames import Proposal
from interlock.gate.ledger import Position
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.money_watch import EQUITY_EVERY_NS, MoneyWatch, equity_of
from interlock.gate.profit import Unmarked, Worth
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.references import nothing_seen
from interlock.gate.state import GateState
from interlock.gate.venue_bounds import Standing
from interlock.gate.venue_reads import Holding, Holdings
from interlock.simulate.gated.beginning import NOBODY, begin, binding_of

_LAG_NS: Final = NS_PER_S
_LONGEST_WINDOW_NS: Final = 5 * NS_PER_S


class PlainWire:
    """A venue that is told in words which nobody reads: the order itself travels in the memory of the replay."""

    receive_window_ns = 0

    def objection(self, intent: r.Intent, wall_ns: int) -> str:
        """Nothing: the matching model refuses what a venue would."""
        return ""

    def forbidden_now(self, intent: r.Intent, wall_ns: int, standing: Standing) -> str:
        """Nothing, as of `objection`."""
        return ""

    def least_order(self, symbol: str, side: Side, ticks: int, wall_ns: int) -> tuple[int, int]:
        """Any price, one lot."""
        return ticks, 1

    def placement(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        """Its client id, which is never used again."""
        return intent.client_id.encode()

    def amendment(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        """A replay amends nothing."""
        raise NotImplementedError("a replay gives up an order and places another")

    def body(self, frame: bytes) -> bytes:
        """All of it."""
        return frame


class Opening:
    """What an account holds before the tape begins: cash by venue, and (lots, ticks) of each instrument that is held."""

    def __init__(self, cash: Mapping[str, Decimal], held: Mapping[int, tuple[int, int]]) -> None:
        self.cash = dict(cash)
        self.held = {k: one for k, one in held.items() if one[0]}


class ReplayGate:
    """The state, and what is asked of it. `accounts` are by venue; `rates` by instrument, (maker, taker), as the matching model charges them."""

    def __init__(
        self,
        sheet: LimitSheet,
        instruments: Sequence[Instrument],
        accounts: Mapping[str, str],
        strategy: str,
        tag: str,
        rates: Sequence[tuple[Decimal, Decimal]],
        opening: Opening,
        *,
        seed: int,
        start_ns: int,
        until_ns: int,
    ) -> None:
        self.instruments = tuple(instruments)
        self.accounts = dict(accounts)
        self.strategy = strategy
        self._rates = tuple(rates)
        self._opening = opening
        self.state = GateState(sheet)
        self.setup = Setup(
            accounts=self.accounts,
            wires={venue: PlainWire() for venue in accounts},
            absence={venue: rule_for(venue, _LAG_NS, _LONGEST_WINDOW_NS) for venue in accounts},
            tags={strategy: tag},
        )
        binding = binding_of(sheet, accounts, self.instruments, seed)
        self.readings = Readings(
            references=nothing_seen(universe_of([facts_of(one) for one in self.instruments])),
            binding=binding,
            read_only=False,
            lease_held=True,
            stopped=False,
            sentinel_alive=True,
            checker_alive=True,
        )
        self._worths = {(one.venue, one.symbol): _worth(one) for one in self.instruments}
        self._now = Now(start_ns, start_ns)
        self._money = MoneyWatch(self.readings, self.state, self._worths, clock=lambda: self._now)
        self._equity_ns: int | None = None
        self._told = 0
        self.denials: Counter[str] = Counter()
        """By rule: proposals that were denied."""
        begin(self.state, binding, self.accounts, self._now, until_ns)
        for k, (lots, ticks) in sorted(opening.held.items()):
            self._open(k, lots, ticks)

    def _open(self, k: int, lots: int, ticks: int) -> None:
        """Book what was held before: a person's word, as where a gate takes over an account that holds something."""
        one = self.instruments[k]
        self._take(
            r.LedgerEvent(
                boot_ns=self._now.boot_ns,
                kind=r.LedgerKind.ADJUST,
                venue=one.venue,
                account=self.accounts[one.venue],
                venue_id="",
                currency=one.quote,
                amount=Decimal(0),
                symbol=one.symbol,
                lots=lots,
                ticks=ticks,
                actor=NOBODY,
                nonce=f"opening {one.key}",
                venue_ns=self._now.wall_ns,
            )
        )

    # What is asked

    def decide(self, proposal: Proposal, now_ns: int) -> Effects:
        """The gate's decision, folded. One that is permitted is on its way: nothing stands between it and the wire."""
        self._now = now = Now(now_ns, now_ns)
        if not self.readings.equity:
            self._watch_equity(now)
        effects = core.decide(self.setup, self.state, self.readings, proposal, now)
        self._take(*effects.records)
        if effects.planned is None:
            self.denials[effects.decision.rule] += 1
            return effects
        planned = effects.planned
        self._take(
            r.WireBegin(boot_ns=now_ns, client_id=planned.client_id, revision=0, connection=NOBODY, sign_wall_ns=now_ns),
            r.Sent(boot_ns=now_ns, client_id=planned.client_id, revision=0, sign_wall_ns=now_ns, receive_window_ns=0),
        )
        return effects

    def want_cancel(self, client_id: str, now_ns: int) -> None:
        """A cancel is owed from now on, until the order has ended."""
        now = Now(now_ns, now_ns)
        self._take(*core.want_cancels(self.state, (client_id,), "the strategy", "engine", now))

    def may_cancel(self, venue: str, now_ns: int) -> bool:
        """Whether a cancel still fits the venue's window."""
        return throttles.may_cancel(self.state.throttles, self.state.sheet, venue, now_ns) > 0

    def cancel_sent(self, client_id: str, now_ns: int) -> None:
        """A cancel is on the wire."""
        owed = self.state.orders.by_id[client_id].cancel
        self._take(r.CancelSent(boot_ns=now_ns, client_id=client_id, attempt=1 if owed is None else owed.attempts + 1))

    def owes_cancel(self, client_id: str) -> bool:
        """Whether an order that has not ended is to be cancelled."""
        return client_id in self.state.orders.cancelling

    # What is told

    def filled(self, client_id: str, k: int, side: int, ticks: int, lots: int, *, maker: bool, venue_ns: int, now_ns: int) -> None:
        """An execution."""
        one = self.instruments[k]
        self._told += 1
        self._take(
            r.Filled(
                boot_ns=now_ns,
                venue=one.venue,
                account=self.accounts[one.venue],
                symbol=one.symbol,
                trade_id=str(self._told),
                client_id=client_id,
                side=Side(side),
                ticks=ticks,
                lots=lots,
                liquidity=Liquidity.MAKER if maker else Liquidity.TAKER,
                fee=self._rates[k][0 if maker else 1] * one.notional(ticks, lots),
                fee_currency=one.quote,
                venue_ns=venue_ns,
            )
        )

    def reported(self, client_id: str, state: OrderState, code: str, now_ns: int) -> None:
        """How an order stands at the venue, or that it has ended there."""
        order = self.state.orders.by_id[client_id]
        if state is OrderState.REJECTED:
            self._take(r.Answered(boot_ns=now_ns, client_id=client_id, revision=0, state=OrderState.REJECTED, venue_order_id="", code=code))
            return
        if state is OrderState.OPEN and order.filled_lots:
            state = OrderState.PARTIAL
        self._take(
            r.Reported(
                boot_ns=now_ns,
                client_id=client_id,
                venue_order_id=client_id,
                state=state,
                filled_lots=order.filled_lots,
                lots=order.lots,
                source="stream",
                code=code,
                venue_ns=now_ns,
            )
        )

    def cancel_too_early(self, client_id: str, now_ns: int) -> None:
        """A cancel came before its order: the venue knows none, which proves nothing."""
        self._take(r.CancelAnswered(boot_ns=now_ns, client_id=client_id, accepted=False, code="not_found"))

    def funded(self, k: int, amount: Decimal, now_ns: int) -> None:
        """A funding payment, negative where paid."""
        one = self.instruments[k]
        self._told += 1
        self._take(
            r.LedgerEvent(
                boot_ns=now_ns,
                kind=r.LedgerKind.FUNDING,
                venue=one.venue,
                account=self.accounts[one.venue],
                venue_id=f"funding {self._told}",
                currency=one.settle,
                amount=amount,
                symbol=one.symbol,
                venue_ns=now_ns,
            )
        )

    # As time goes by

    def turn(self, now_ns: int) -> list[str]:
        """After each round of reads: equity, naked times, marks, latches; the orders that are to be cancelled because a level fell."""
        self._now = now = Now(now_ns, now_ns)
        if self._equity_ns is None or now_ns - self._equity_ns >= EQUITY_EVERY_NS:
            self._watch_equity(now)
        self._take(*self._money.turn(self.state, now))
        leave = partial(may_rest, self.state, boot_ns=now_ns)
        found = cancels_called_for(self.state, now, universe=self.readings.references.universe, leave=leave)
        self._take(*found)
        return [one.client_id for one in found]

    def _take(self, *found: r.Record) -> None:
        """Fold, and then whatever that calls for."""
        for record in found:
            self.state.apply(record)
        while found := core.consequences(self.state, self._now):
            for record in found:
                self.state.apply(record)

    def _watch_equity(self, now: Now) -> None:
        """What each account is worth; one that cannot be valued keeps its last figure, which grows old."""
        self._equity_ns = now.boot_ns
        equity = dict(self.readings.equity)
        for venue, account in self.accounts.items():
            worth = equity_of(self._holdings(venue, account), venue, self._worths, self.readings, self.state.sheet, now.boot_ns)
            if not isinstance(worth, Unmarked):
                equity[venue, account] = Equity(worth, now.boot_ns)
        self.readings.equity = equity

    def _holdings(self, venue: str, account: str) -> Holdings:
        """What the venue would list: the opening cash and what the ledger has made of it."""
        ledger = self.state.ledger
        balances: dict[str, Decimal] = {}
        held: list[Holding] = []
        cash = self._opening.cash.get(venue, Decimal(0))
        for k, one in enumerate(self.instruments):
            if one.venue != venue:
                continue
            balances.setdefault(one.quote, cash)
            position = ledger.positions.get((venue, account, one.symbol), Position())
            tick_lot = one.quantum * one.lot
            if one.kind is Kind.SPOT:
                lots, ticks = self._opening.held.get(k, (0, 0))
                # What was held before was paid for before.
                balances[one.quote] += tick_lot * (position.cash + lots * ticks)
                balances[one.base] = balances.get(one.base, Decimal(0)) + one.lot * position.lots
                continue
            balances[one.quote] += tick_lot * position.realised
            entry = abs(position.cost / position.lots * one.quantum) if position.lots else Decimal(0)
            held.append(Holding(one.symbol, position.lots, entry))
        for (of_venue, of_account, currency, _), amount in ledger.flows.items():
            if (of_venue, of_account) == (venue, account):
                balances[currency] = balances.get(currency, Decimal(0)) + amount
        return Holdings(tuple(held), tuple(sorted(balances.items())), 0)


def _worth(one: Instrument) -> Worth:
    """What its ticks and lots are worth in money."""
    return Worth(currency=one.quote, tick_lot=one.quantum * one.lot, base=one.base, lot=one.lot, spot=one.kind is Kind.SPOT)
