"""What is read of the account: balances, what may be ordered, keys, pockets, wallets, deposits and withdrawals.

There is one pocket. What the simulator has nothing of is answered empty. A key says nothing of its permissions but to one that may manage pockets.
Source: the venue's reference pages and the shapes in its own client.
"""

from __future__ import annotations

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


class Assets:
    """Reads of one venue's account."""

    def __init__(self, venue: SimVenue, keys: KeyRing) -> None:
        self._venue = venue
        self._keys = keys
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
        """GET /v1/deposits, newest first."""
        return [_transfer(booking, "ACCEPTED") for booking in self._bookings("deposit", params)]

    def withdrawals(self, params: Params) -> list[dict[str, Any]]:
        """GET /v1/withdraws, newest first."""
        return [_transfer(booking, "DONE") for booking in self._bookings("withdrawal", params)]

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

    def _bookings(self, kind: str, params: Params) -> list[Booking]:
        currency = params.get("currency")
        limit, page = params.count("limit", 100, 100), params.count("page", 1, 1_000_000)
        found = [b for b in reversed(self._venue.bookings) if b.kind == kind and currency in ("", b.currency)]
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
    allowed = ["view_account", "view_orders", "view_deposits"]
    allowed += ["make_orders"] if key.trade else []
    allowed += ["view_withdrawals", "withdraw"] if key.withdraw else []
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
