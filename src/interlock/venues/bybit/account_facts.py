"""What Bybit says of a key and an account, from the results of its answers: permissions, fees, margin mode, margin. Each raises Nonsense."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from interlock.venues.bybit.replies import MaybeName, Name, Number, amount, decoded, nonsense
from interlock.venues.bybit.seen import CoinRow
from interlock.venues.feed import Count
from interlock.venues.port import FeeRates, KeyFacts, MarginSeen

_Names = Annotated[list[MaybeName], msgspec.Meta(max_length=256)]


class _Key(msgspec.Struct, frozen=True):
    """{"readOnly":0,"permissions":{"ContractTrade":["Order","Position"],"Wallet":[]},"ips":["18.181.170.164"],"expiredAt":"1970-01-01T00:00:00Z",
    "userID":1448939}"""

    readOnly: int
    userID: Count
    permissions: Mapping[str, _Names]
    ips: _Names | None = None
    expiredAt: MaybeName = ""


class _Rate(msgspec.Struct, frozen=True):
    """{"symbol":"ETHUSDT","takerFeeRate":"0.0006","makerFeeRate":"0.0001"}"""

    symbol: MaybeName
    takerFeeRate: Number
    makerFeeRate: Number


class _Rates(msgspec.Struct, frozen=True):
    rows: list[_Rate] = msgspec.field(name="list")


class _Info(msgspec.Struct, frozen=True):
    """{"marginMode":"REGULAR_MARGIN","unifiedMarginStatus":5}"""

    marginMode: MaybeName


class Wallet(msgspec.Struct, frozen=True):
    """A unified account; totals are in USD, and empty in isolated margin.

    {"accountType":"UNIFIED","totalAvailableBalance":"9556.6056555","totalMaintenanceMargin":"0","coin":[]}
    """

    accountType: Name
    coin: list[CoinRow]
    totalAvailableBalance: Number = ""
    totalMaintenanceMargin: Number = ""


class _Wallets(msgspec.Struct, frozen=True):
    rows: list[Wallet] = msgspec.field(name="list")


_decode_key = msgspec.json.Decoder(_Key).decode
_decode_rates = msgspec.json.Decoder(_Rates).decode
_decode_info = msgspec.json.Decoder(_Info).decode
_decode_wallets = msgspec.json.Decoder(_Wallets).decode

_MARGINS: Final = {"REGULAR_MARGIN": "cross", "ISOLATED_MARGIN": "isolated", "PORTFOLIO_MARGIN": "portfolio"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRANSFERS: Final = frozenset({"AccountTransfer", "SubMemberTransfer"})
SETTLED_IN: Final = "USDT"


def key_facts(result: bytes) -> KeyFacts:
    """What a key may do. A permission whose group is not listed is not told, which is neither yes nor no."""
    found = decoded(_decode_key, result, "key")
    wallet_rights, contract = found.permissions.get("Wallet"), found.permissions.get("ContractTrade")
    bound = None if found.ips is None else bool(found.ips) and not any(_everywhere(ip) for ip in found.ips)
    return KeyFacts(
        account=str(found.userID),
        trade=False if found.readOnly else None if contract is None else {"Order", "Position"} <= set(contract),
        withdraw=None if wallet_rights is None else "Withdraw" in wallet_rights,
        transfer=None if wallet_rights is None else bool(_TRANSFERS & set(wallet_rights)),
        address_bound=bound,
        expires_ms=_expires_ms(found.expiredAt, bound=bound is True),
        reads_only=bool(found.readOnly),
    )


def _everywhere(ip: str) -> bool:
    return ip in ("", "*") or ip.startswith("0.0.0.0") or ip.endswith("/0")


def _expires_ms(text: str, *, bound: bool) -> int | None:
    """A key that is bound to addresses shows 1970 and does not expire; of one that is not, 1970 tells nothing."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise nonsense("key expiredAt", error) from error
    if at.tzinfo is None:
        raise nonsense("key expiredAt", f"expected a time with its zone, found {text!r}")
    ms = int((at - _EPOCH).total_seconds()) * 1000
    return ms if ms > 0 else 0 if bound else None


def fee_rates(result: bytes, symbol: str) -> FeeRates:
    """The fee rates of one symbol."""
    found = [row for row in decoded(_decode_rates, result, "fee rates").rows if row.symbol == symbol]
    if len(found) != 1:
        raise nonsense("fee rates", f"expected one entry of {symbol}, found {len(found)}")
    rates = FeeRates(amount(found[0].makerFeeRate, "makerFeeRate"), amount(found[0].takerFeeRate, "takerFeeRate"))
    if not (abs(rates.maker) < 1 and 0 <= rates.taker < 1):
        raise nonsense("fee rates", f"expected fractions, found {rates.maker} and {rates.taker}")
    return rates


def margin_mode(result: bytes) -> str:
    """The account's margin mode in our words."""
    found = decoded(_decode_info, result, "account").marginMode
    if found not in _MARGINS:
        raise nonsense("account", f"expected one of {', '.join(_MARGINS)}, found {found!r}")
    return _MARGINS[found]


def wallet(result: bytes) -> Wallet:
    """The unified account. Raises Nonsense for any other number or type of accounts, and for a coin that comes twice."""
    found = decoded(_decode_wallets, result, "wallet").rows
    if len(found) != 1 or found[0].accountType != "UNIFIED":
        raise nonsense("wallet", f"expected one unified account, found {len(found)}")
    if len({row.coin for row in found[0].coin}) < len(found[0].coin):
        raise nonsense("wallet", "expected each coin once, found one twice")
    return found[0]


def margin_seen(account: Wallet) -> MarginSeen:
    """Margin in USDT: what the coin itself has, and never more than the account's total leaves.

    The venue tells totals in USD only. They count other coins too, which may lose their worth, so they only make it worse: a loan or a position in
    another coin shows there alone. Where margin by coin is not told (portfolio margin) the totals stand for it.
    """
    coin = next((row for row in account.coin if row.coin == SETTLED_IN), CoinRow(SETTLED_IN, "0", "0", "0", "0", "0", "0"))
    equity = amount(coin.equity, "equity")
    frees = []
    if coin.totalOrderIM and coin.totalPositionIM:
        used = (
            amount(coin.totalOrderIM, "totalOrderIM"),
            amount(coin.totalPositionIM, "totalPositionIM"),
            amount(coin.locked or "0", "locked"),
        )
        frees.append(equity - sum(used))
    if account.totalAvailableBalance:
        frees.append(amount(account.totalAvailableBalance, "totalAvailableBalance"))
    needed = [amount(text, "maintenance margin") for text in (coin.totalPositionMM, account.totalMaintenanceMargin) if text]
    if not frees or not needed:
        raise nonsense("wallet", "expected margin by coin or in total, found neither")
    return MarginSeen(equity, max(Decimal(0), min(frees)), max(needed))
