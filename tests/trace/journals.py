"""Honest journals and witnesses for the checker's tests, and a writer of the journal's format of their own."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from interlock.trace.vocabulary import BOUNDS, REQUIRED_LIMITS

Map = dict[str, Any]
Steps = list[Map]

BLOCK = 512
S = 1_000_000_000
WALL = 1_800_000_000 * S
LIFE = ("a" * 32, "b" * 32, "c" * 32)
TAIL = "incarn7"
FACTS = {"bybit/BTCUSDT": {"tick": "0.1", "lot": "0.001", "currency": "USDT"}}


def base36(value: int, width: int) -> str:
    out = ""
    while len(out) < width:
        value, digit = divmod(value, 36)
        out = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + out
    return out


def cid(sequence: int, epoch: int = 100, tail: str = TAIL) -> str:
    return "mk01" + base36(epoch, 7) + base36(sequence, 9) + tail


def r(kind: str, at: float = 1.0, /, **fields: Any) -> Map:
    return {"k": kind, "boot_ns": int(at * S), **fields}


def boot(at: float = 1.0, life: int = 0, kernel: str = "kernel") -> Map:
    return r(
        "boot",
        at,
        incarnation=LIFE[life],
        kernel_boot_id=kernel,
        host="host",
        user="me",
        endpoint="loopback",
        accounts=["bybit/desk"],
        build="build",
        config="config",
        limits="limits",
        wall_ns=WALL + int(at * S),
    )


def sheet(**symbol: Any) -> Map:
    """A sheet of limits as far as the checker reads it."""
    account = {"max_order_notional_micro_usd": 10**9, "max_gross_notional_micro_usd": 10**9, "max_daily_loss_micro_usd": 10**7}
    venue = {"max_gross_notional_micro_usd": 10**9, "max_unattended_resting_micro_usd": 0, "max_margin_ratio_millionths": 500_000}
    table = {
        "max_order_lots": 100,
        "max_position_lots": 100,
        "max_position_notional_micro_usd": 10**9,
        "max_open_orders_count": 9,
        **symbol,
    }
    return {
        "account": {**account, "max_drawdown_micro_usd": 10**7, "shock_millionths": 300_000},
        "venues": {"bybit": venue},
        "symbols": {"bybit:BTCUSDT": table},
        "assets": {},
        "currencies": {"USDT": {}},
        "strategies": {"mk": {"max_orders_count": 9, "max_identical_orders_count": 9}},
    }


def digest(limits: Map) -> str:
    return hashlib.sha256(json.dumps(limits, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def limited(steps: Steps, limits: Map | None = None) -> Steps:
    """The same beginning, of a gate with these limits."""
    name = digest(sheet() if limits is None else limits)
    found = copy.deepcopy(steps)
    for one in found:
        if one["k"] == "boot":
            one["limits"] = name
        elif one["k"] == "arm":
            one["grant"]["binding"]["limits"] = name
    return found


def change(table: str, name: str, attribute: str, was: Any) -> Map:
    return {"table": table, "name": name, "attribute": attribute, "was": json.dumps(was)}


def tighten(at: float, held: Map, wanted: Map, *changes: Map) -> Map:
    about = {"before": digest(held), "after": digest(wanted), "sheet": wanted, "changes": list(changes), "actor": "me", "reason": ""}
    return r("tighten", at, **about, wall_ns=WALL + int(at * S))


def attest(at: float, nonce: str = "n8", days: float = 30, **changes: Any) -> Map:
    told = {"trade": None, "withdraw": False, "transfer": None, "address_bound": None, "expires_wall_ns": None}
    begins = WALL + int(at * S)
    about = {"venue": "bybit", "account": "main", "fingerprint": "0123456789abcdef", "statement": "I HAVE CHECKED", "actor": "me", **told}
    times = {"wall_ns": begins, "until_wall_ns": begins + int(days * 86_400) * S}
    return r("attest", at, **{**about, "scripted": True, "nonce": nonce, **times, **changes})


def unsent(client_id: str, at: float, permit_lsn: int, **changes: Any) -> Map:
    about = {"venue": "bybit", "account": "desk", "symbol": "BTCUSDT", "strategy": "mk", "side": 1, "type": "limit", "tif": "post_only"}
    size = {"reduce_only": False, "ticks": 1000, "lots": 10, "notional_usd": "100", "permitted_boot_ns": int(at * S)}
    return r("unsent", at, client_id=client_id, revision=0, **{**about, **size, "permit_lsn": permit_lsn, **changes})


def bounded(limits: Map) -> list[Map]:
    """What a permit was judged by under these limits."""
    values = {**limits["account"], **limits["symbols"]["bybit:BTCUSDT"]}
    names = {
        "max_order_lots": "max_order_lots",
        "max_position_lots": "max_position_lots",
        "max_order_notional_usd": "max_order_notional_micro_usd",
    }
    return [
        {**one, "bound": str(values[names[one["limit"]]])} if one["limit"] in names else one for one in permit(cid(1), 1)["evaluations"]
    ]


def recon(at: float = 1.1, explained: bool = True) -> Map:
    return r("recon", at, venue="bybit", account="desk", explained=explained, differences=[])


def run(at: float = 1.2, nonce: str = "n1") -> Map:
    return r("level", at, level="run", reason="", actor="me", human=True, nonce=nonce)


def arm(
    at: float = 1.3, grant_id: str = "g1", life: int = 0, cap: str = "1000", expires: float = 1000, purpose: str = "trade", **binding: Any
) -> Map:
    bound = {
        "incarnation": LIFE[life],
        "host": "host",
        "account": "desk",
        "endpoint": "loopback",
        "build": "build",
        "config": "config",
        "strategy": "s",
        "limits": "limits",
        "symbols": [["bybit", "BTCUSDT", "m"]],
        **binding,
    }
    grant = {
        "grant_id": grant_id,
        "binding": bound,
        "cap_usd": cap,
        "scripted": True,
        "minted_boot_ns": int(at * S),
        "expires_boot_ns": int(expires * S),
        "mandate_until_boot_ns": int(2000 * S) if purpose == "trade" else int(expires * S),
        "purpose": purpose,
    }
    return r("arm", at, grant=grant, wall_ns=WALL + int(at * S))


def book(at: float) -> Map:
    return {"venue": "bybit", "symbol": "BTCUSDT", "bid_ticks": 999, "ask_ticks": 1000, "boot_ns": int(at * S)}


def intent(client_id: str, at: float, revision: int = 0, lots: int = 10, side: int = 1, group: str = "", ticks: int = 1000) -> Map:
    return r(
        "intent",
        at,
        client_id=client_id,
        revision=revision,
        group=group,
        strategy="mk",
        venue="bybit",
        account="desk",
        symbol="BTCUSDT",
        side=side,
        type="limit",
        tif="gtc",
        reduce_only=False,
        ticks=ticks,
        lots=lots,
        sequence=1,
        created_boot_ns=int(at * S),
        deadline_boot_ns=int((at + 5) * S),
        books=[book(at)],
    )


def permit(client_id: str, at: float, revision: int = 0, lots: int = 10, **changes: Any) -> Map:
    evaluations = [{"limit": name, "value": "0", "bound": BOUNDS.get(name, "0")} for name in sorted(REQUIRED_LIMITS - {"max_order_lots"})]
    evaluations.append({"limit": "max_order_lots", "value": str(lots), "bound": "1000"})
    fields: Map = {
        "client_id": client_id,
        "revision": revision,
        "grant_id": "g1",
        "epoch": 100,
        "mandate": "",
        "cap_usd": "1000",
        "notional_usd": str(lots / 10),  # 1000 ticks of 0.1 and lots of 0.001
        "evaluations": evaluations,
        "books": [book(at)],
        "usd_rates": [["USDT", "1"]],
        "body_hash": f"hash-{client_id}-{revision}",
        "deadline_boot_ns": int((at + 5) * S),
        "wall_ns": WALL + int(at * S),
    }
    return r("permit", at, **{**fields, **changes})


def wire(client_id: str, at: float, revision: int = 0) -> Map:
    return r("wire", at, client_id=client_id, revision=revision, connection="c1", sign_wall_ns=0, receive_window_ns=0)


def sent(client_id: str, at: float, revision: int = 0, window: float = 2) -> Map:
    return r("sent", at, client_id=client_id, revision=revision, sign_wall_ns=WALL + int(at * S), receive_window_ns=int(window * S))


def answer(client_id: str, at: float, state: str = "open", revision: int = 0, code: str = "") -> Map:
    return r("answer", at, client_id=client_id, revision=revision, state=state, venue_order_id="v", code=code)


def report(client_id: str, at: float, state: str, filled: int, lots: int = 10) -> Map:
    return r(
        "report",
        at,
        client_id=client_id,
        venue_order_id="v",
        state=state,
        filled_lots=filled,
        lots=lots,
        source="stream",
        code="",
        venue_ns=WALL + int(at * S),
    )


def fill(client_id: str, at: float, lots: int, trade: str = "t1", side: int = 1) -> Map:
    return r(
        "fill",
        at,
        venue="bybit",
        account="desk",
        symbol="BTCUSDT",
        trade_id=trade,
        client_id=client_id,
        side=side,
        ticks=1000,
        lots=lots,
        liquidity="maker",
        fee="0.01",
        fee_currency="USDT",
        venue_ns=WALL + int(at * S),
    )


def latch(name: str = "foreign_activity", at: float = 5, level: str = "halt", scope: str = "all", subject: str = "") -> Map:
    return r("latch", at, name=name, scope=scope, subject=subject, level=level, reason="", actor="gate", evidence={})


def unlatch(name: str, at: float, actor: str = "me", nonce: str = "n9", scope: str = "all") -> Map:
    return r("unlatch", at, name=name, scope=scope, subject="", actor=actor, nonce=nonce, state_version=1)


def foreign(at: float, symbol: str = "BTCUSDT", **more: Any) -> Map:
    return r("foreign", at, venue="bybit", account="desk", symbol=symbol, client_id="x", venue_order_id="1", own_prefix=False, **more)


def foreign_move(at: float, symbol: str = "DOGEUSDT", lots: int = 3) -> Map:
    """An execution of others, as it is booked where their asset is not managed."""
    about = {"kind": "foreign", "venue": "bybit", "account": "desk", "venue_id": "fill.1", "currency": "USDT", "amount": "-0.1"}
    return r("ledger", at, **about, symbol=symbol, lots=lots, ticks=100, actor="", nonce="", venue_ns=1)


def drilled(at: float, **changes: Any) -> Map:
    fields: Map = {
        "drill_id": "d1",
        "kind": "order",
        "venue": "bybit",
        "endpoint": "loopback",
        "key": "key",
        "sentinel_build": "sentinel",
        "authenticated": True,
        "placed": 1,
        "cancelled": 1,
        "remaining": 0,
        "verdict": "pass",
        "wall_ns": WALL + int(at * S),
    }
    return r("drill", at, **{**fields, **changes})


def deny(client_id: str, at: float, count: int = 1, revision: int = 0) -> Map:
    return r("deny", at, client_id=client_id, revision=revision, strategy="mk", rule="max_orders", detail="", count=count, sequence=-1)


def absent(client_id: str, at: float, later: str, not_before: float = 9, **changes: Any) -> Map:
    sightings = [
        {"source": source, "venue_ns": WALL + int(t * S), "later_client_id": later, "execution_cursor_ns": 0}
        for source in ("open", "history")
        for t in (at - 0.2, at - 0.1)
    ]
    return r("absent", at, **{"client_id": client_id, "sightings": sightings, "not_before_venue_ns": WALL + int(not_before * S), **changes})


def snap(at: float) -> Map:
    return r(
        "snap",
        at,
        venue="bybit",
        account="desk",
        cursor_before="c",
        cursor_after="c",
        positions=[["BTCUSDT", 10]],
        balances=[["USDT", "10.5"]],
        open_orders=[],
        venue_ns=WALL + int(at * S),
    )


def opening(life: int = 0, at: float = 1.0, epoch: int = 100, grant_id: str = "g1", nonce: str = "n1") -> Steps:
    return [
        boot(at, life),
        r("epoch", at, number=epoch),
        recon(at + 0.1),
        run(at + 0.2, nonce),
        arm(at + 0.3, grant_id, life),
    ]


def placed(client_id: str, at: float, lots: int = 10, side: int = 1, group: str = "", **changes: Any) -> Steps:
    return [
        intent(client_id, at, lots=lots, side=side, group=group),
        permit(client_id, at + 0.01, lots=lots, **changes),
        wire(client_id, at + 0.02),
        sent(client_id, at + 0.03),
    ]


def honest() -> Steps:
    """One life: an order that fills, an amended one that is cancelled, a denied one, an unknown one that is proven absent."""
    return [
        *opening(),
        r("tick", 1.5, wall_ns=WALL + int(1.5 * S)),
        *placed(cid(1), 2),
        answer(cid(1), 2.1),
        fill(cid(1), 2.2, 4),
        report(cid(1), 2.3, "partial", 4),
        fill(cid(1), 2.4, 6, "t2"),
        *placed(cid(2), 3),
        answer(cid(2), 3.1, "acked"),
        report(cid(2), 3.2, "open", 0),
        intent(cid(2), 3.3, revision=1, lots=20),
        permit(cid(2), 3.31, revision=1, lots=20),
        wire(cid(2), 3.32, revision=1),
        sent(cid(2), 3.33, revision=1),
        answer(cid(2), 3.34, revision=1),
        r("cancel", 3.5, client_id=cid(2), reason="", actor="strategy"),
        r("cancel_sent", 3.51, client_id=cid(2), attempt=1),
        r("cancel_answer", 3.52, client_id=cid(2), accepted=True, code=""),
        report(cid(2), 3.6, "cancelled", 0, 20),
        intent(cid(3), 4),
        deny(cid(3), 4.01),
        *placed(cid(4), 5)[:3],
        sent(cid(4), 5.03),
        r("unknown", 6, client_id=cid(4), revision=0, reason="timeout"),
        *placed(cid(5), 7),
        answer(cid(5), 7.1, "rejected", code="insufficient_margin"),
        absent(cid(4), 12, cid(5)),
        snap(13),
        recon(13.1),
        r("mark", 14, realised_usd="0", unrealised_usd="-1", equity_usd="100"),
        r("day", 15, day="2027-01-15", baseline=[["USDT", "1"]], baseline_usd="1", wall_ns=WALL + 15 * S),
        r("tick", 20, wall_ns=WALL + 20 * S),
        r("tick", 30, wall_ns=WALL + 30 * S),
    ]


# Bytes


def chained(block: bytes) -> bytes:
    head = block.ljust(BLOCK - 4, b"\0")
    return head + struct.pack("<I", zlib.crc32(head))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def batch_bytes(
    number: int, first_lsn: int, previous: bytes, records: Sequence[bytes], kind: int = 0, chain: bytes = b""
) -> tuple[bytes, bytes]:
    payload = b"".join(struct.pack("<I", len(one)) + one for one in records)
    chain = chain or hashlib.sha256(previous + payload).digest()
    count = 0 if kind else len(records)
    head = struct.pack("<4sIQQII32s32s", b"ILKB", kind, number, first_lsn, count, len(payload), previous, chain)
    return padded(head + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head))) + payload), chain


class Writer:
    """Writes segments as the description of the format says. `segment` begins one, as every boot does."""

    def __init__(self, directory: Path, room: int = 1 << 18, *, live: bool = True) -> None:
        self.directory, self.room = directory, room
        self.lsn, self.number, self.chain = 0, 1, bytes(32)
        self.path, self.body = directory, b""
        self.live = live
        directory.mkdir(exist_ok=True)

    def segment(self, incarnation: str, carry: bytes = b"", **changes: Any) -> None:
        named: Map = {"version": 1, "schema": 1, "reader": 1, "first": self.lsn + 1, "number": self.number, "chain": self.chain, **changes}
        head = struct.pack(
            "<8sIII4xQQQ16s32s",
            b"ILKJSEG\n",
            named["version"],
            named["schema"],
            named["reader"],
            named["first"],
            named["number"],
            self.room,
            bytes.fromhex(incarnation),
            named["chain"],
        )
        self.path, self.body = self.directory / f"{named['first']:020d}.seg", chained(head) + carry
        self.flush()

    def batch(self, records: Sequence[Map]) -> bytes:
        encoded = [msgspec.msgpack.encode(one) for one in records]
        image, self.chain = batch_bytes(self.number, self.lsn + 1, self.chain, encoded)
        self.lsn, self.number = self.lsn + len(records), self.number + 1
        self.body += image
        if self.live:
            self.flush()
        return image

    def flush(self) -> None:
        self.path.write_bytes(self.body.ljust(self.room, b"\0"))


def write(directory: Path, records: Steps, *, together: Callable[[Map], bool] | None = None) -> Path:
    """A journal of these records. A boot begins a segment; every record is a batch of its own unless `together` puts it with the one before."""
    writer = Writer(directory, live=False)
    groups: list[Steps] = []
    for one in records:
        if groups and together is not None and together(one):
            groups[-1].append(one)
        else:
            groups.append([one])
    incarnation = next((one["incarnation"] for one in records if one["k"] == "boot"), LIFE[0])
    seen = set()
    for group in groups:
        first = group[0]
        if first["k"] == "boot" and isinstance(first["incarnation"], str) and first["incarnation"] not in seen:
            incarnation = first["incarnation"]
            seen.add(incarnation)
            if writer.body:
                writer.flush()
            writer.segment(incarnation)
        elif writer.lsn == 0 and not writer.body:
            writer.segment(incarnation)
        writer.batch(group)
    writer.flush()
    return directory


def lines_of(records: Steps) -> list[Map]:
    """What an honest venue saw of a journal: every send and every cancel."""
    intents = {(one["client_id"], one["revision"]): one for one in records if one["k"] == "intent"}
    gone = {(one["client_id"], one["revision"]) for one in records if one["k"] == "not_sent"}
    found = []
    for one in records:
        if one["k"] == "sent":
            key = (one["client_id"], one["revision"])
            if key in gone:
                continue
            gone.add(key)
            asked = intents.get(key)
            orders = [] if asked is None else [{name: asked[name] for name in ("ticks", "lots", "symbol", "side")}]
            verb = "amend" if key[1] else "place"
            found.append(line("RISK+", verb, *key, one["boot_ns"], f"hash-{key[0]}-{key[1]}", orders))
        elif one["k"] == "cancel_sent":
            found.append(line("RISK-", "cancel", one["client_id"], 0, one["boot_ns"], "h", []))
    return found


def line(kind: str, verb: str, client_id: str, revision: int, boot_ns: int, body_hash: str, orders: list[Map]) -> Map:
    return {
        "wall_ns": WALL + boot_ns + 1000,
        "monotonic_ns": boot_ns,
        "venue": "bybit",
        "connection": "c1",
        "verb": verb,
        "class": kind,
        "client_id": client_id,
        "revision": revision,
        "body_hash": body_hash,
        "bytes": 10,
        "received": 10,
        "children": [],
        "orders": orders,
    }


def truth_of(records: Steps) -> list[Map]:
    """What really happened: the executions of a journal."""
    return [
        {
            "wall_ns": one["venue_ns"],
            "monotonic_ns": 1,
            "venue": "bybit",
            "what": "execution",
            "is": {"k": "execution", "venue_order_id": "v", "fee": "0"}
            | {name: one[name] for name in ("trade_id", "client_id", "symbol", "side", "ticks", "lots", "venue_ns")},
        }
        for one in records
        if one["k"] == "fill"
    ]


def save(path: Path, lines: Sequence[Map]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def changed(records: Steps, at: int, **fields: Any) -> Steps:
    out = copy.deepcopy(records)
    out[at].update(fields)
    return out


def find(records: Steps, kind: str, /, **wanted: Any) -> int:
    return next(i for i, one in enumerate(records) if one["k"] == kind and all(one[name] == value for name, value in wanted.items()))
