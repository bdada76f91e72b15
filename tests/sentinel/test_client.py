"""The cancel-only client of the fake, against the served fake and against servers that misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.sentinel.world import MS, OURS, Hand, ports_of

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.control import Ban, ForeignOrder, SetRate
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues.cancel_only import OpenOrder, VenueTrouble
from interlock.venues.fake.cancel_only import FakeCancelOnly
from interlock.venues.fake.wire import Answer, AnyBody, Assembler, BeatTaken, Orders, OrderView, decode_request, encode


@pytest.fixture
def bybit(fake: Addresses) -> Iterator[FakeCancelOnly]:
    client = FakeCancelOnly(ports_of(fake)["bybit"], 500 * MS)
    yield client
    client.close()


def test_it_lists_all_pages_looks_up_and_cancels(bybit: FakeCancelOnly, hand: Hand) -> None:
    hand.place("bybit", 450)
    pages = list(bybit.open_pages())
    assert [len(page) for page in pages] == [200, 200, 50]
    assert pages[0][0] == OpenOrder(pages[0][0].venue_order_id, f"{OURS}000000", "BTCUSDT")
    bybit.cancel([order for page in pages for order in page][:45])
    assert len(hand.open("bybit")) == 405
    assert bybit.state_of(f"{OURS}000000") is OrderState.CANCELLED
    assert bybit.state_of(f"{OURS}000100") is OrderState.OPEN
    assert bybit.state_of("nobody") is None
    bybit.cancel_everything()
    assert not hand.open("bybit")


def test_orders_without_a_client_id_are_left_to_the_wider_cancel(bybit: FakeCancelOnly, hand: Hand) -> None:
    hand.command(ForeignOrder(venue="bybit", symbol="BTCUSDT", side=Side.BUY, ticks=100_000, lots=1))
    bybit.cancel([order for page in bybit.open_pages() for order in page])
    assert len(hand.open("bybit")) == 1
    bybit.cancel_everything()
    assert not hand.open("bybit")


def test_a_ban_says_for_how_long(bybit: FakeCancelOnly, hand: Hand) -> None:
    hand.command(Ban(venue="bybit", for_ns=5 * NS_PER_S))
    with pytest.raises(VenueTrouble, match="banned") as caught:
        bybit.cancel_everything()
    assert 4 * NS_PER_S < caught.value.retry_after_ns <= 5 * NS_PER_S


def test_lists_and_look_ups_leave_the_last_of_the_venues_limit_to_cancels(bybit: FakeCancelOnly, hand: Hand) -> None:
    hand.command(SetRate(venue="bybit", requests=40, window_ns=3_600 * NS_PER_S, ban_after=1))
    for _ in range(36 - hand.truth("bybit").requests):
        bybit.state_of("nobody")
    with pytest.raises(VenueTrouble, match="left of the venue's limits is for cancels") as caught:
        bybit.state_of("nobody")
    assert caught.value.retry_after_ns == 0  # nothing was refused: a cancel need not wait
    assert hand.truth("bybit").requests == 36
    for _ in range(4):
        bybit.cancel_everything()


def test_a_refusal_and_a_silence_are_trouble_and_the_next_request_begins_anew(bybit: FakeCancelOnly, hand: Hand) -> None:
    with pytest.raises(VenueTrouble, match="refused: not_supported"):
        bybit.beat("BTCUSDT", NS_PER_S)
    hand.arm("bybit", FaultSpec(fault=Fault.LOSE_ACK))
    with pytest.raises(VenueTrouble, match="no answer: timed out") as caught:
        bybit.cancel_everything()
    assert caught.value.retry_after_ns == 0
    bybit.cancel_everything()


def view(client_id: str) -> OrderView:
    return OrderView(
        client_id=client_id,
        revision=0,
        venue_order_id="v",
        symbol="BTCUSDT",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        reduce_only=False,
        ticks=1,
        lots=1,
        filled_lots=0,
        state=OrderState.OPEN,
        code="",
        updated_ns=0,
    )


def answer(number: int, body: AnyBody | None = None, status: int = 200, code: str = "", reset_ns: int = 0) -> bytes:
    return encode(
        Answer(
            request_id=number, status=status, code=code, text="", venue_ns=100, limit=3_000, remaining=3_000, reset_ns=reset_ns, body=body
        )
    )


@contextmanager
def answering(reply: Callable[[int], list[bytes]]) -> Iterator[FakeCancelOnly]:
    """A client of a server that answers every request with these pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    assembler = Assembler()
                    while data := connection.recv(1 << 16):
                        assembler.feed(data)
                        while (frame := assembler.take()) is not None:
                            for piece in reply(decode_request(frame).request_id):
                                connection.sendall(piece)
                        if not reply(0):
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        client = FakeCancelOnly(listening.getsockname()[1], 300 * MS)
        try:
            yield client
        finally:
            client.close()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_list_that_does_not_end_is_trouble() -> None:
    with answering(lambda n: [answer(n, Orders(orders=(), cursor="same"))]) as client, pytest.raises(VenueTrouble, match="does not end"):
        list(client.open_pages())
    with answering(lambda n: [answer(n, Orders(orders=(), cursor=str(n)))]) as client, pytest.raises(VenueTrouble, match="does not end"):
        list(client.open_pages())


def test_the_wrong_kind_of_answer_is_trouble() -> None:
    with answering(lambda n: [answer(n, BeatTaken(until_ns=1))]) as client:
        with pytest.raises(VenueTrouble, match="expected a page"):
            list(client.open_pages())
        with pytest.raises(VenueTrouble, match="expected order x"):
            client.state_of("x")
    with answering(lambda n: [answer(n, view("another"))]) as client, pytest.raises(VenueTrouble, match="expected order x"):
        client.state_of("x")
    with answering(lambda n: [answer(n, view("x"))]) as client:
        assert client.state_of("x") is OrderState.OPEN


def test_an_answer_to_another_request_is_passed_over_and_pieces_are_put_together() -> None:
    def reply(number: int) -> list[bytes]:
        right = answer(number, BeatTaken(until_ns=1))
        return [answer(number + 7), right[:3], right[3:]]

    with answering(reply) as client:
        client.beat("BTCUSDT", 1)
        client.beat("BTCUSDT", 1)


def test_an_end_or_garbage_instead_of_an_answer_is_trouble() -> None:
    with answering(lambda n: []) as client, pytest.raises(VenueTrouble, match="closed the connection"):
        client.cancel_everything()
    with answering(lambda n: [b"\xff" * 50]) as client, pytest.raises(VenueTrouble, match="no answer"):
        client.cancel_everything()


def test_a_stream_of_other_answers_does_not_hold_it_for_ever() -> None:
    with answering(lambda n: [answer(n + 1)] * 3) as client, pytest.raises(VenueTrouble, match="no answer"):
        client.cancel_everything()


def test_a_limit_by_status_alone_is_obeyed_and_an_odd_time_still_waits() -> None:
    with answering(lambda n: [answer(n, status=429, code="new_code", reset_ns=50)]) as client:
        with pytest.raises(VenueTrouble, match="new_code") as caught:
            client.cancel_everything()
        assert caught.value.retry_after_ns == 1


def test_a_time_limit_that_is_over_sends_nothing(fake: Addresses, hand: Hand) -> None:
    before = hand.truth("bybit").requests
    client = FakeCancelOnly(ports_of(fake)["bybit"], 1)
    with pytest.raises(VenueTrouble, match="no answer"):
        client.cancel_everything()
    assert hand.truth("bybit").requests == before
