"""Loss of the day and drawdown from the day's peak, as a fold of day rolls and marks. Micro-USD; losses rounded up, equity and gains down.

What is lost in a currency is held against that currency's own limit beside the converted total, whatever was won in another.

A realised loss counts at its worst of the day and never recovers before the roll; the first mark that shows it beyond its limit latches. A loss that
is only so by open positions denies while it lasts; after several independent marks in a row have shown it, or when the day ends with it, it has
latched. A latch outlives the day. A restart changes none of it, but what is known must be marked anew.

What was lost is told by the records alone; only which marks breach is for the sheet to say. So a boot under another sheet keeps what was lost and
every latch that stands in the journal, and lets go of what was merely judged by the sheet before: from there on the state is the same whichever sheet
the records before it were folded under, and the first mark is held against the new one.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import msgspec

from interlock.gate import records
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.references import DOLLAR

DAILY_LOSS = "loss"
"""The name of the latch; what asks for it outlives the day and ends only when a person clears it."""


WHOLE_MILLIONTHS = 1_000_000
"""The share of its limit at which a loss in a currency stands when nothing of that limit is left."""


class Lost(msgspec.Struct, frozen=True, array_like=True):
    """What was lost in a currency, in millionths of its unit: of what is realised the worst of the day, and now, open positions with it."""

    currency: str
    worst_realised_micro: int
    now_micro: int


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the fold. Times are CLOCK_BOOTTIME; `marked_boot_ns` is None while the equity is not known in this process life."""

    day: str = ""
    worst_realised_micro_usd: int = 0
    worst_micro_usd: int = 0
    now_micro_usd: int = 0
    peak_equity_micro_usd: int | None = None
    drawdown_micro_usd: int = 0
    marked_boot_ns: int | None = None
    breaches_count: int = 0
    breached_boot_ns: int | None = None
    latched: bool = False
    limits: str = ""
    """The hash of the sheet that the process life began with."""
    standing: bool = False
    """Whether the latch stands in the journal: the part of `latched` that no sheet has a say in."""
    by_currency: tuple[Lost, ...] = ()
    """By name of the currency."""

    def digest_parts(self) -> tuple[object, ...]:
        """All parts as plain data, for comparing and hashing folds."""
        return (*msgspec.structs.astuple(self)[:-1], tuple(msgspec.structs.astuple(one) for one in self.by_currency))


def apply(state: Losses, record: records.Record, sheet: LimitSheet) -> Losses:
    """Fold one record in. Which marks breach, and which are independent of each other, is for the sheet to say."""
    if isinstance(record, records.Boot):
        return _booted(state, record)
    if isinstance(record, records.DayRolled):
        return _rolled(state, record)
    if isinstance(record, records.Marked):
        return _marked(state, record, sheet)
    if isinstance(record, records.LimitsTightened):
        lost = state.worst_realised_micro_usd > sheet.account.max_daily_loss_micro_usd
        return msgspec.structs.replace(
            state, latched=state.latched or lost or any(_over(one, one.worst_realised_micro, sheet) for one in state.by_currency)
        )
    if isinstance(record, records.LatchCleared) and record.name == DAILY_LOSS:
        return msgspec.structs.replace(state, latched=False, standing=False, breaches_count=0, breached_boot_ns=None)
    if isinstance(record, records.LatchSet) and (record.name, record.scope) == (DAILY_LOSS, records.Scope.ALL):
        return msgspec.structs.replace(state, latched=True, standing=True)
    return state


def _booted(state: Losses, boot: records.Boot) -> Losses:
    if boot.limits == state.limits:
        return msgspec.structs.replace(state, marked_boot_ns=None, breached_boot_ns=None)
    return msgspec.structs.replace(
        state, marked_boot_ns=None, breached_boot_ns=None, breaches_count=0, latched=state.standing, limits=boot.limits
    )


def _rolled(state: Losses, roll: records.DayRolled) -> Losses:
    """A day that ends in breach has it for good: no later mark can take it back. A day that is told again, or an older one, is none."""
    if state.day and roll.day <= state.day:
        return state
    return Losses(
        day=roll.day,
        peak_equity_micro_usd=-_up(-roll.baseline_usd),
        latched=state.latched or state.breaches_count > 0,
        limits=state.limits,
        standing=state.standing,
    )


def currency_loss(state: Losses, sheet: LimitSheet) -> tuple[int, str]:
    """The greatest loss in a currency as a share of that currency's limit, in millionths and rounded up, and that currency; (0, "") without one."""
    worst, where = 0, ""
    for one in state.by_currency:
        lost, most = max(one.worst_realised_micro, one.now_micro), _most(one.currency, sheet)
        share = -(-lost * WHOLE_MILLIONTHS // most) if most else WHOLE_MILLIONTHS + 1
        if lost > 0 and share > worst:
            worst, where = share, one.currency
    return worst, where


def _over(one: Lost, lost_micro: int, sheet: LimitSheet) -> bool:
    return lost_micro > _most(one.currency, sheet)


def _most(currency: str, sheet: LimitSheet) -> int:
    """What a day may lose in it. Of the dollar, which a sheet need not name, as much as of everything; of what nobody bounded, nothing."""
    limit = sheet.currencies.get(currency)
    if limit is not None:
        return limit.max_daily_loss_micro_units
    return sheet.account.max_daily_loss_micro_usd if currency == DOLLAR else 0


def _by_currency(state: Losses, mark: records.Marked) -> tuple[Lost, ...]:
    """As `worst_realised_micro_usd` and `now_micro_usd`. What an earlier mark of the day named stays, should this one not name it."""
    found = {one.currency: Lost(one.currency, one.worst_realised_micro, 0) for one in state.by_currency}
    for currency, realised, unrealised in mark.by_currency:
        before = found[currency].worst_realised_micro if currency in found else 0
        found[currency] = Lost(currency, max(before, _up(-realised)), _up(-(realised + unrealised)))
    return tuple(found[currency] for currency in sorted(found))


def _marked(state: Losses, mark: records.Marked, sheet: LimitSheet) -> Losses:
    limit = sheet.account
    loss = _up(-(mark.realised_usd + mark.unrealised_usd))
    realised = max(state.worst_realised_micro_usd, _up(-mark.realised_usd))
    equity = -_up(-mark.equity_usd)
    currencies = _by_currency(state, mark)
    peak = equity if state.peak_equity_micro_usd is None else max(state.peak_equity_micro_usd, equity)
    count, breached_ns = state.breaches_count, state.breached_boot_ns
    within = loss <= limit.max_daily_loss_micro_usd and not any(_over(one, one.now_micro, sheet) for one in currencies)
    if within and peak - equity <= limit.max_drawdown_micro_usd:
        count, breached_ns = 0, None
    elif breached_ns is None or not (mark.boot_ns - breached_ns < limit.mark_spacing_ns):
        count, breached_ns = count + 1, mark.boot_ns
    return Losses(
        day=state.day,
        worst_realised_micro_usd=realised,
        worst_micro_usd=max(state.worst_micro_usd, loss),
        now_micro_usd=loss,
        peak_equity_micro_usd=peak,
        drawdown_micro_usd=peak - equity,
        marked_boot_ns=mark.boot_ns,
        breaches_count=count,
        breached_boot_ns=breached_ns,
        latched=state.latched
        or realised > limit.max_daily_loss_micro_usd
        or any(_over(one, one.worst_realised_micro, sheet) for one in currencies)
        or count >= limit.unrealised_breach_marks_count,
        limits=state.limits,
        standing=state.standing,
        by_currency=currencies,
    )


def _up(usd: Decimal) -> int:
    return math.ceil(Fraction(usd) * 1_000_000)
