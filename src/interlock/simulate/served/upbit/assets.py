"""What is read of the account: balances, what may be ordered, keys, pockets, wallets, deposits and withdrawals.

There is one pocket. What the simulator has nothing of is answered empty. A key says nothing of its permissions but to one that may manage pockets.
Source: the venue's reference pages and the shapes in its own client.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.served.keys import KeyRing, SimKey
from interlock.simulate.served.orders import Execution
from interlock.simulate.served.upbit.ids import uuid_of
from interlock.simulate.served.upbit.params import Params
from interlock.simulate.served.upbit.texts import kst, pointed, text
from interlock.simulate.served.upbit.words import Wrong
from interlock.simulate.served.venue import Booking, SimVenue

ZERO = Decimal(0)
YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
_BID_TYPES: Final = ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc", "price"]
_ASK_TYPES: Final = ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc", "market"]
_POCKET: Final = uuid_of("pocket", 1)


DEPOSIT_STATES: Final = ("PROCESSING", "ACCEPTED", "CANCELLED", "REJECTED", "TRAVEL_RULE_SUSPECTED", "REFUNDING", "REFUNDED")
WITHDRAWAL_STATES: Final = ("WAITING", "PROCESSING", "DONE", "FAILED", "CANCELLED", "REJECTED")


class Assets:
    """Reads of one venue's account. `too_young` says of a venue time whether a list that lags does not show it yet."""

    def __init__(self, venue: SimVenue, keys: KeyRing, too_young: Callable[[int], bool]) -> None:
        self._venue = venue
        self._keys = keys
        self._too_young = too_young
        self._average: dict[str, Decimal] = {}

    def bought(self, execution: Execution) -> None:
        """Move the mean price at which a coin was bought; the balance has moved already."""
        order = execution.order
        if order.side is not Side.BUY or execution.lots <= 0:
            return
        instrument = order.instrument
        size = instrument.base_units(execution.lots)
        total = self._venue.account.balances()[instrument.base].total
        before = self._average.get(instrument.base, ZERO) * (total - size)
        value = before + instrument.notional(execution.ticks, execution.lots)
        self._average[instrument.base] = (value / total).quantize(Decimal("0.00000001")) if total > 0 else ZERO

    def accounts(self, _params: Params) -> list[dict[str, Any]]:
        """GET /v1/accounts, the currencies of which there is something."""
        return [self._account(currency) for currency, balance in self._venue.account.balances().items() if balance.total]

    def chance(self, params: Params) -> dict[str, Any]:
        """GET /v1/orders/chance. Raises Wrong."""
        symbol = params.required("market")
        if symbol not in self._venue.markets:
            raise Wrong("notfoundmarket")
        instrument = self._venue.markets[symbol].instrument
        maker, taker = text(instrument.fees.maker), text(instrument.fees.taker)
        return {
            "bid_fee": taker,
            "ask_fee": taker,
            "maker_bid_fee": maker,
            "maker_ask_fee": maker,
            "market": self._chance_market(instrument),
            "bid_account": self._account(instrument.quote),
            "ask_account": self._account(instrument.base),
        }

    def _chance_market(self, instrument: Instrument) -> dict[str, Any]:
        least, most = text(instrument.min_notional), self._venue.rules.max_value
        return {
            "id": instrument.symbol,
            "name": f"{instrument.base}/{instrument.quote}",
            "order_types": ["limit"],
            "order_sides": ["ask", "bid"],
            "bid_types": _BID_TYPES,
            "ask_types": _ASK_TYPES,
            "bid": {"currency": instrument.quote, "min_total": least},
            "ask": {"currency": instrument.base, "min_total": least},
            "max_total": text(most or ZERO),
            "state": "active" if self._venue.markets[instrument.symbol].trading else "offline",
        }

    def keys(self, _params: Params) -> list[dict[str, Any]]:
        """GET /v1/api_keys: names and ends."""
        return [{"access_key": key.access, "expire_at": kst(_end(key))} for key in self._keys.all() if not key.locked]

    def pockets(self, _params: Params) -> list[dict[str, Any]]:
        """GET /v1/pockets."""
        return [{"uuid": _POCKET, "name": "main", "type": "main"}]

    def pocket_keys(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/pockets/api_keys: what every key may do and from where. Raises Wrong."""
        if any(uuid != _POCKET for uuid in params.list("uuids")):
            raise Wrong("pocket_not_found")
        with_expired = params.one_of("include_expired", ("true", "false"), "false") == "true"
        now_ns = self._venue.now_ns()
        shown = [key for key in self._keys.all() if with_expired or _end(key) > now_ns]
        return [{"uuid": _POCKET, "keys": [_permitted(key) for key in shown]}]

    def wallets(self, _params: Params) -> list[dict[str, Any]]:
        """GET /v1/status/wallet."""
        now = kst(self._venue.now_ns())
        return [
            {
                "currency": currency,
                "wallet_state": "working",
                "block_state": "normal",
                "block_height": 1,
                "block_updated_at": now,
                "block_elapsed_minutes": 0,
                "net_type": currency,
                "network_name": currency,
            }
            for currency in self._currencies()
            if currency != "KRW"
        ]

    def deposits(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/deposits. Everything here is done when it begins. Raises Wrong."""
        return self._transfers("deposit", "ACCEPTED", DEPOSIT_STATES, params)

    def withdrawals(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/withdraws. Raises Wrong."""
        return self._transfers("withdrawal", "DONE", WITHDRAWAL_STATES, params)

    def withdraw_chance(self, params: Params) -> dict[str, Any]:
        """GET /v1/withdraws/chance. Raises Wrong."""
        currency = params.required("currency")
        if currency not in self._currencies():
            raise Wrong("currency_not_found")
        return {
            "member_level": {
                "security_level": 4,
                "fee_level": 0,
                "email_verified": True,
                "identity_auth_verified": True,
                "bank_account_verified": True,
                "two_factor_auth_verified": True,
                "locked": False,
                "wallet_locked": False,
            },
            "currency": {
                "code": currency,
                "withdraw_fee": "0.0",
                "is_coin": currency != "KRW",
                "wallet_state": "working",
                "wallet_support": ["deposit", "withdraw"],
            },
            "account": self._account(currency),
            "withdraw_limit": {
                "currency": currency,
                "minimum": "0.0",
                "remaining_daily_fiat": "0.0",
                "fiat_currency": "KRW",
                "fixed": 8,
                "can_withdraw": False,
            },
        }

    def _transfers(self, kind: str, state: str, states: tuple[str, ...], params: Params) -> list[dict[str, Any]]:
        """The transfers of a kind, newest first unless asked otherwise, in pages; of one currency, in one state, by name."""
        currency, uuids, txids = params.get("currency"), params.list("uuids"), params.list("txids")
        limit, page = params.count("limit", 100, 100), params.count("page", 1, 1_000_000)
        newest_first = params.one_of("order_by", ("asc", "desc"), "desc") == "desc"
        wanted = params.one_of("state", states, state) == state
        booked = reversed(self._venue.bookings) if newest_first else self._venue.bookings
        shown = [b for b in booked if wanted and b.kind == kind and currency in ("", b.currency) and not self._too_young(b.venue_ns)]
        found = [_transfer(booking, state) for booking in shown]
        found = [row for row in found if (not uuids or row["uuid"] in uuids) and (not txids or row["txid"] in txids)]
        return found[(page - 1) * limit : page * limit]

    def _currencies(self) -> list[str]:
        listed = [market.instrument.base for market in self._venue.markets.values()]
        return list(dict.fromkeys(["KRW", *listed, *self._venue.account.balances()]))

    def _account(self, currency: str) -> dict[str, Any]:
        balance = self._venue.account.balances().get(currency)
        return {
            "currency": currency,
            "balance": pointed(balance.free if balance else ZERO),
            "locked": pointed(balance.locked if balance else ZERO),
            "avg_buy_price": text(self._average.get(currency, ZERO)),
            "avg_buy_price_modified": False,
            "unit_currency": "KRW",
        }


def _end(key: SimKey) -> int:
    """When a key ends: a year after it was made unless it says so itself."""
    return key.expires_ns or key.created_ns + YEAR_NS


def _permitted(key: SimKey) -> dict[str, Any]:
    allowed = ["view_account", "view_orders"]
    allowed += ["view_deposits"] if key.sees_deposits else []
    allowed += ["make_orders"] if key.trade else []
    allowed += ["view_withdrawals"] if key.sees_withdrawals else []
    allowed += ["withdraw"] if key.withdraw else []
    allowed += ["transfer", "manage_pockets"] if key.transfer else []
    return {
        "access_key": key.access,
        "allowed_ips": list(key.addresses),
        "permissions": allowed,
        "created_at": kst(key.created_ns),
        "expired_at": kst(_end(key)),
    }


def _transfer(booking: Booking, state: str) -> dict[str, Any]:
    kind = "deposit" if booking.kind == "deposit" else "withdraw"
    return {
        "type": kind,
        "uuid": uuid_of(booking.kind, booking.number),
        "currency": booking.currency,
        "net_type": None if booking.currency == "KRW" else booking.currency,
        "txid": uuid_of("txid", booking.number),
        "state": state,
        "created_at": kst(booking.venue_ns),
        "done_at": kst(booking.venue_ns),
        "amount": text(abs(booking.amount)),
        "fee": "0",
        "transaction_type": "default",
    }
