"""Whatever is done: the stream, the reads and the account tell the same story."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulate.served.bybit.wire import Bench

ACTIONS = st.one_of(
    st.tuples(st.just("place"), st.sampled_from(["Buy", "Sell"]), st.integers(1, 20), st.sampled_from(["GTC", "PostOnly", "IOC", "FOK"])),
    st.tuples(st.just("amend"), st.integers(0, 5), st.integers(1, 20)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("fill"), st.integers(0, 5), st.integers(1, 20)),
    st.tuples(st.just("fund")),
    st.tuples(st.just("step")),
)
SIGNS = {"Buy": 1, "Sell": -1}


def act(bench: Bench, action: tuple[Any, ...], links: list[str]) -> None:
    kind = action[0]
    if kind == "place":
        links.append(bench.link())
        price = bench.far("0.9999" if action[1] == "Buy" else "1.0001")
        order = bench.order(side=action[1], price=price, qty=f"{action[2] / 1000:.3f}", timeInForce=action[3], orderLinkId=links[-1])
        assert bench.post("/v5/order/create", order).code == 0
    elif kind == "step":
        bench.step()
    elif kind == "fund":
        bench.strike(fault="funding", symbol="BTCUSDT", rate="0.0003")
    elif links:
        named = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": links[action[1] % len(links)]}
        if kind == "cancel":
            assert bench.post("/v5/order/cancel", named).code in (0, 110001)
        elif kind == "amend":
            assert bench.post("/v5/order/amend", named | {"qty": f"{action[2] / 1000:.3f}"}).code in (0, 10001, 110001)
        else:
            bench.strike(fault="fill", client_id=named["orderLinkId"], amount=f"{action[2] / 1000:.3f}")


@settings(max_examples=25, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=12))
def test_stream_reads_and_account_agree(served: Bench, actions: list[tuple[Any, ...]]) -> None:
    served.calm()
    stream, links = served.stream("order", "execution", "position"), list[str]()
    for action in actions:
        served.advance(1)
        act(served, action, links)
    last: dict[str, dict[str, Any]] = {}
    executed: dict[str, Decimal] = dict.fromkeys(links, Decimal(0))
    held, position = Decimal(0), Decimal(0)
    for message in stream.waiting():
        (row,) = message["data"]
        if message["topic"] == "order":
            last[row["orderLinkId"]] = row
        elif message["topic"] == "position":
            position = Decimal(row["size"]) * SIGNS.get(row["side"], 0)
        elif row["execType"] == "Trade":
            executed[row["orderLinkId"]] += Decimal(row["execQty"])
            held += Decimal(row["execQty"]) * SIGNS[row["side"]]
    served.advance(1)
    for link in links:
        query = f"category=linear&orderLinkId={link}"
        assert served.get("/v5/order/realtime", query).rows == [last[link]]
        rows = served.get("/v5/execution/list", query).rows
        read = sum((Decimal(row["execQty"]) for row in rows), Decimal(0))
        assert read == executed[link] == Decimal(last[link]["cumExecQty"])
    shown = served.get("/v5/position/list", "category=linear&symbol=BTCUSDT").rows[0]
    assert held == position == Decimal(shown["size"]) * SIGNS.get(shown["side"], 0)
    opened = {row["orderLinkId"] for row in served.get("/v5/order/realtime", "category=linear&symbol=BTCUSDT").rows}
    assert opened == {link for link in links if last[link]["orderStatus"] in ("New", "PartiallyFilled")}
