"""What an account at Upbit is and has: its keys, fee rates, balances, and the state of wallets, each from one answer."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

import msgspec

from interlock.domain.instruments import Status
from interlock.venues.feed import NS_PER_MS
from interlock.venues.port import BalanceSeen, FeeRates, KeyFacts
from interlock.venues.upbit.replies import Name, Number, Text, amount, decoded, nonsense, plus, time_ns


class _Holding(msgspec.Struct, frozen=True):
    """{"currency":"BTC","balance":"2.0","locked":"0.0","avg_buy_price":"140000000","avg_buy_price_modified":false,"unit_currency":"KRW"}"""

    currency: Name
    balance: Number
    locked: Number


class _Key(msgspec.Struct, frozen=True):
    """{"access_key":"a7Xd92LmQW3vBtRzYpMj5CxNKeT1HuVs0fFgJcAw","expire_at":"2027-06-01T09:00:00+09:00"}"""

    access_key: Name
    expire_at: Text


class ChanceMarket(msgspec.Struct, frozen=True):
    """{"id":"KRW-BTC","name":"BTC/KRW","max_total":"1000000000","state":"active"}"""

    id: Name
    state: Text


class Chance(msgspec.Struct, frozen=True):
    """{"bid_fee":"0.0005","ask_fee":"0.0005","maker_bid_fee":"0.0005","maker_ask_fee":"0.0005","market":{"id":"KRW-BTC","state":"active"}}"""

    bid_fee: Number
    ask_fee: Number
    maker_bid_fee: Number
    maker_ask_fee: Number
    market: ChanceMarket


class _Wallet(msgspec.Struct, frozen=True):
    """{"currency":"BTC","wallet_state":"working","block_state":"normal","block_height":922814,"net_type":"BTC"}"""

    currency: Name
    wallet_state: Text


_decode_holdings = msgspec.json.Decoder(list[_Holding]).decode
_decode_keys = msgspec.json.Decoder(list[_Key]).decode
_decode_chance = msgspec.json.Decoder(Chance).decode
_decode_wallets = msgspec.json.Decoder(list[_Wallet]).decode


def balances(body: bytes) -> tuple[BalanceSeen, ...]:
    """What there is of each currency: `balance` is free, `locked` is beside it. Raises Nonsense, also for a currency that comes twice."""
    found = []
    for each in decoded(_decode_holdings, body, "accounts"):
        free = amount(each.balance, f"{each.currency} balance")
        found.append(BalanceSeen(each.currency, plus(free, amount(each.locked, f"{each.currency} locked")), free))
    if len({each.currency for each in found}) < len(found):
        raise nonsense("accounts", "expected each currency once, found one twice")
    return tuple(found)


def key_facts(body: bytes, access: str) -> KeyFacts:
    """When the key with this name expires, and whose it is: an account is known by its set of keys, told as a digest. Raises Nonsense."""
    keys = {each.access_key: each.expire_at for each in decoded(_decode_keys, body, "keys")}
    if access not in keys:
        raise nonsense("keys", f"expected the key that asks, found {len(keys)} others")
    return KeyFacts(
        account=f"keys-{sha256(' '.join(sorted(keys)).encode()).hexdigest()[:16]}",
        trade=None,
        withdraw=None,
        transfer=None,
        address_bound=None,
        expires_ms=time_ns(keys[access], "expire_at") // NS_PER_MS,
    )


def chance(body: bytes, symbol: str) -> Chance:
    """What can be ordered in a market. Raises Nonsense."""
    found = decoded(_decode_chance, body, "chance")
    if found.market.id != symbol:
        raise nonsense("chance", f"expected {symbol}, found {found.market.id}")
    return found


def fee_rates(found: Chance, symbol: str) -> FeeRates:
    """The higher rate of bids and asks. Raises Nonsense for one that is no fraction."""
    maker = max(amount(found.maker_bid_fee, f"{symbol} maker_bid_fee"), amount(found.maker_ask_fee, f"{symbol} maker_ask_fee"))
    taker = max(amount(found.bid_fee, f"{symbol} bid_fee"), amount(found.ask_fee, f"{symbol} ask_fee"))
    if not max(maker, taker) < Decimal(1):
        raise nonsense("chance", f"expected fee rates below 1, found {maker} and {taker}")
    return FeeRates(maker, taker)


def wallets(body: bytes) -> dict[str, Status]:
    """Whether a currency moves in and out over at least one of its networks; a state that is not known counts as closed."""
    found: dict[str, Status] = {}
    for each in decoded(_decode_wallets, body, "wallets"):
        name = f"wallet:{each.currency}"
        if each.wallet_state == "working":
            found[name] = Status.TRADING
        found.setdefault(name, Status.HALTED)
    return found
