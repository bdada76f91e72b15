"""What Upbit says when it refuses: names, HTTP statuses and the Korean sentences beside them.

`error.name` counts, the sentence is not stable. On quotation endpoints the name is the HTTP status as a number. Source: the venue's reference pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.domain.orders import Side
from interlock.simulate.served.face import Reply
from interlock.simulate.served.orders import Refusal, Refused
from interlock.simulate.served.upbit.texts import encode

_SENTENCES: Final[Mapping[str, tuple[int, str]]] = {
    "no_authorization_token": (401, "인증 토큰이 없습니다."),
    "invalid_access_key": (401, "잘못된 엑세스 키입니다."),
    "expired_access_key": (401, "만료된 엑세스 키입니다."),
    "jwt_verification": (401, "Jwt 토큰 검증에 실패했습니다."),
    "invalid_query_payload": (401, "Jwt의 query를 확인해주세요."),
    "nonce_used": (401, "이미 사용한 nonce값입니다."),
    "no_authorization_ip": (401, "This is not a verified IP."),
    "out_of_scope": (401, "권한이 부족합니다."),
    "validation_error": (400, "잘못된 API 요청입니다."),
    "invalid_parameter": (400, "잘못된 파라미터입니다."),
    "invalid_time_in_force": (400, "time_in_force 값을 확인해주세요."),
    "invalid_post_only": (400, "post_only 주문에는 smp_type을 함께 사용할 수 없습니다."),
    "invalid_price_bid": (400, "주문가격 단위를 잘못 입력하셨습니다. 확인 후 시도해주세요."),
    "invalid_price_ask": (400, "주문가격 단위를 잘못 입력하셨습니다. 확인 후 시도해주세요."),
    "under_min_total_bid": (400, "최소주문금액 이상으로 주문해주세요."),
    "under_min_total_ask": (400, "최소주문금액 이상으로 주문해주세요."),
    "over_krw_funds_bid": (400, "최대주문금액을 초과하였습니다."),
    "over_krw_funds_ask": (400, "최대주문금액을 초과하였습니다."),
    "volume_too_large": (400, "주문 수량이 너무 큽니다."),
    "create_bid_error": (400, "주문 요청 정보가 올바르지 않습니다."),
    "create_ask_error": (400, "주문 요청 정보가 올바르지 않습니다."),
    "insufficient_funds_bid": (400, "주문가능한 금액이 부족합니다."),
    "insufficient_funds_ask": (400, "주문가능한 수량이 부족합니다."),
    "duplicated_identifier": (400, "이미 사용한 identifier입니다."),
    "notfoundmarket": (404, "존재하지 않는 마켓입니다."),
    "order_not_found": (404, "주문을 찾지 못했습니다."),
    "currency_not_found": (404, "존재하지 않는 화폐입니다."),
    "pocket_not_found": (404, "존재하지 않는 포켓입니다."),
    "market_offline": (403, "시스템 점검 중입니다. 잠시 후 이용해주세요."),
    "too_many_requests": (429, "요청 수 제한을 초과했습니다."),
    "server_error": (500, "일시적인 오류가 발생했습니다."),
}

_SIDED: Final[Mapping[Refusal, str]] = {
    Refusal.PRICE_STEP: "invalid_price",
    Refusal.PRICE_RANGE: "invalid_price",
    Refusal.MIN_NOTIONAL: "under_min_total",
    Refusal.QUANTITY_LOW: "under_min_total",
    Refusal.MAX_NOTIONAL: "over_krw_funds",
    Refusal.BALANCE: "insufficient_funds",
}
_PLAIN: Final[Mapping[Refusal, str]] = {
    Refusal.UNKNOWN_SYMBOL: "notfoundmarket",
    Refusal.HALTED: "market_offline",
    Refusal.BAD_REQUEST: "validation_error",
    Refusal.QUANTITY_HIGH: "volume_too_large",
    Refusal.DUPLICATE_CLIENT_ID: "duplicated_identifier",
    Refusal.NOT_FOUND: "order_not_found",
}


class Wrong(Exception):
    """A request that is refused: the status, the name (a number on quotation endpoints) and the sentence."""

    def __init__(self, name: str | int, *, status: int = 0, text: str = "") -> None:
        known = _SENTENCES.get(name) if isinstance(name, str) else None
        self.status = status or (known[0] if known else 400)
        self.name = name
        self.text = text or (known[1] if known else str(name))
        super().__init__(f"{self.status} {self.name}")


def wording(refused: Refused, side: Side) -> Wrong:
    """A refusal of the venue's core in its own words."""
    suffix = "bid" if side is Side.BUY else "ask"
    sided = _SIDED.get(refused.refusal)
    name = f"{sided}_{suffix}" if sided else _PLAIN.get(refused.refusal, f"create_{suffix}_error")
    return Wrong(name)


def reply_of(wrong: Wrong, headers: Mapping[str, str] | None = None) -> Reply:
    """The answer that says what was wrong."""
    return Reply(wrong.status, encode(error_body(wrong.name, wrong.text)), headers or {})


def error_body(name: str | int, message: str) -> dict[str, Any]:
    """The body of every refusal, of a request and of a stream."""
    return {"error": {"name": name, "message": message}}
