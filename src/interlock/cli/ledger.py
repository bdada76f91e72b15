"""`interlock ledger`: what a person tells the gate's books: a transfer that will come, a difference that is to be taken over."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from interlock.cli import exit_codes
from interlock.cli.gate_client import GateClient, ServerUser, Socket, amount, draw_nonce, duration_ns, note, say, whole
from interlock.domain.errors import UsageError
from interlock.gate.frames import Adjust, Expect, Role

app = App(name="ledger", help="Announce a transfer to the gate, or correct its books.", default_parameter=Parameter(negative=()))


@app.command
def expect(
    event: Annotated[Literal["deposit", "withdrawal", "transfer"], Parameter(name="EVENT")],
    value: Annotated[str, Parameter(name="AMOUNT")],
    currency: Annotated[str, Parameter(name="CURRENCY")],
    /,
    *,
    socket: Socket,
    venue: str,
    within: str,
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Announce a transfer of your own, so that it is no unexplained difference when it comes.

    Parameters
    ----------
    event
        deposit, withdrawal or transfer.
    value
        How much, as a plain decimal; a transfer away has a minus.
    currency
        Of which currency.
    socket
        The gate's raise socket.
    venue
        The venue on whose account it comes or goes.
    within
        How long the announcement holds: 90s, 10m, 2h, 1d.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    within_ns = duration_ns("--within", within)
    text = amount("AMOUNT", value)
    if event != "transfer" and text.startswith("-"):
        raise UsageError(f"AMOUNT: expected a {event} above 0, found {text}; the kind says which way it goes")
    with GateClient(socket, Role.RAISE, server_user) as client:
        report = client.done(
            Expect(event=event, venue=venue, amount=text, currency=currency, within_ns=within_ns, nonce=draw_nonce()),
        )
    told = {**report, "result": "EXPECTED", "event": event, "venue": venue, "amount": text, "currency": currency, "within": within}
    say(told, f"expects a {event} of {text} {currency} at {venue} within {within}", json=json)
    return exit_codes.DONE


@app.command
def adjust(
    *,
    socket: Socket,
    venue: str,
    currency: str = "",
    value: Annotated[str, Parameter(name="--amount")] = "",
    symbol: str = "",
    lots: str = "",
    ticks: str = "",
    server_user: ServerUser = None,
    json: bool = False,
) -> int:
    """Take a difference into the books under your name: an amount of money, or lots of a symbol at a price.

    Parameters
    ----------
    socket
        The gate's raise socket.
    venue
        The venue on whose account it is.
    currency
        With --amount: of which currency. With --lots: the currency that the symbol is paid in.
    value
        How much money, a plain decimal with its sign.
    symbol
        With --lots and --ticks: of which instrument.
    lots
        How many lots, with their sign.
    ticks
        At which price, in ticks.
    server_user
        The user id that the gate must have (default: ours).
    json
        Print one JSON object instead of text.
    """
    if bool(value) is any((symbol, lots, ticks)):
        raise UsageError("adjust: expected either --currency and --amount, or --symbol, --lots and --ticks; give one of them")
    if value and not currency:
        raise UsageError("--currency: expected the currency of the amount, found none")
    if not value and not (symbol and lots and ticks):
        raise UsageError("adjust: expected --symbol, --lots and --ticks together: lots without a price would be a gift")
    money = amount("--amount", value) if value else "0"
    lot_count, tick_count = (0, 0) if value else (whole("--lots", lots), whole("--ticks", ticks))
    if not value and (lot_count == 0 or tick_count <= 0):
        raise UsageError(f"adjust: expected lots that are not 0 and ticks above 0, found {lot_count} and {tick_count}")
    what = f"{money} {currency}" if value else f"{lot_count} lots of {symbol} at {tick_count} ticks"
    with GateClient(socket, Role.RAISE, server_user) as client:
        seen = client.status().state_version
        note(f"state version {seen}: takes {what} at {venue} into the books")
        report = client.done(
            Adjust(
                venue=venue,
                currency=currency,
                amount=money,
                symbol=symbol,
                lots=lot_count,
                ticks=tick_count,
                state_version=seen,
                nonce=draw_nonce(),
            )
        )
    told = {
        "venue": venue,
        "currency": currency,
        "amount": money,
        "symbol": symbol,
        "lots": lot_count,
        "ticks": tick_count,
        "seen_version": seen,
    }
    say({**report, "result": "ADJUSTED", **told}, f"took {what} at {venue} into the books", json=json)
    return exit_codes.DONE
