"""Every REST endpoint: what answers it, whose bucket it draws from, and what it is to the witness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from interlock.simulate.served.bybit import account, batches, ledger, public, reads, verbs
from interlock.simulate.served.bybit.desk import Handler


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `bucket` is empty for public ones; `verb` is the witness's word."""

    handler: Handler
    bucket: str = ""
    verb: str = "read"

    @property
    def public(self) -> bool:
        """Whether it needs no key."""
        return not self.bucket

    @property
    def changes(self) -> bool:
        """Whether a key that only reads may not use it."""
        return self.verb != "read"


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("GET", "/v5/market/time"): Route(public.time),
    ("GET", "/v5/market/instruments-info"): Route(public.instruments),
    ("GET", "/v5/market/orderbook"): Route(public.orderbook),
    ("GET", "/v5/market/tickers"): Route(public.tickers),
    ("GET", "/v5/market/recent-trade"): Route(public.trades),
    ("GET", "/v5/market/funding/history"): Route(public.funding_history),
    ("GET", "/v5/market/price-limit"): Route(public.price_limit),
    ("GET", "/v5/market/risk-limit"): Route(public.risk_limit),
    ("GET", "/v5/market/open-interest"): Route(public.open_interest),
    ("GET", "/v5/market/kline"): Route(public.bars),
    ("GET", "/v5/market/mark-price-kline"): Route(public.bars),
    ("GET", "/v5/market/index-price-kline"): Route(public.bars),
    ("GET", "/v5/market/premium-index-price-kline"): Route(public.bars),
    ("GET", "/v5/system/status"): Route(public.system_status),
    ("POST", "/v5/order/create"): Route(verbs.create, "create", "place"),
    ("POST", "/v5/order/pre-check"): Route(verbs.pre_check, "pre-check"),
    ("POST", "/v5/order/amend"): Route(verbs.amend, "amend", "amend"),
    ("POST", "/v5/order/cancel"): Route(verbs.cancel, "cancel", "cancel"),
    ("POST", "/v5/order/cancel-all"): Route(verbs.cancel_all, "cancel-all", "cancel_all"),
    ("POST", "/v5/order/create-batch"): Route(batches.create_batch, "create-batch", "place_batch"),
    ("POST", "/v5/order/amend-batch"): Route(batches.amend_batch, "amend-batch", "amend_batch"),
    ("POST", "/v5/order/cancel-batch"): Route(batches.cancel_batch, "cancel-batch", "cancel_batch"),
    ("POST", "/v5/order/disconnected-cancel-all"): Route(account.dead_man, "dead-man", "heartbeat"),
    ("GET", "/v5/order/realtime"): Route(reads.realtime, "realtime"),
    ("GET", "/v5/order/history"): Route(reads.history, "history"),
    ("GET", "/v5/execution/list"): Route(reads.executions, "executions"),
    ("GET", "/v5/position/list"): Route(account.positions, "positions"),
    ("GET", "/v5/position/closed-pnl"): Route(reads.closed_pnl, "closed-pnl"),
    ("POST", "/v5/position/set-leverage"): Route(account.set_leverage, "set-leverage", "set_leverage"),
    ("POST", "/v5/position/switch-mode"): Route(account.switch_mode, "switch-mode", "set_mode"),
    ("POST", "/v5/account/set-margin-mode"): Route(account.set_margin_mode, "set-margin-mode", "set_mode"),
    ("GET", "/v5/account/wallet-balance"): Route(account.wallet, "wallet"),
    ("GET", "/v5/account/info"): Route(account.info, "info"),
    ("GET", "/v5/account/fee-rate"): Route(account.fee_rate, "fee-rate"),
    ("GET", "/v5/account/transaction-log"): Route(ledger.transaction_log, "log"),
    ("GET", "/v5/account/instruments-info"): Route(public.instruments, "instruments"),
    ("GET", "/v5/account/smp-group"): Route(account.smp_group, "others"),
    ("GET", "/v5/account/query-dcp-info"): Route(account.dead_man_info, "dead-man-info"),
    ("GET", "/v5/user/query-api"): Route(account.query_api, "query-api"),
    ("GET", "/v5/asset/coin/query-info"): Route(public.coins, "others"),
}
