"""Keys whose secret is a private key of ours: the venue holds the public half, and takes requests, orders and sockets that it proves."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.venues.contract.place import Place
from tests.venues.contract.test_sockets import entry

from interlock.domain.errors import UsageError
from interlock.simulate.served.keys import SimKey
from interlock.venues.port import Accepted, Refused
from interlock.venues.request import Key, Pair
from interlock.venues.trouble import Doing, Explained, Trouble

TAKEN = {"upbit": (), "binance_usdm": (Pair.RSA, Pair.ED25519), "bybit": (Pair.RSA,)}


def made(kind: Pair) -> tuple[str, str]:
    """A new pair: the private half, and the public one."""
    private = rsa.generate_private_key(65537, 2048) if kind is Pair.RSA else ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public.decode()


@pytest.mark.parametrize("kind", list(Pair))
async def test_a_pair_proves_who_asks_wherever_the_venue_takes_it(place: Place, kind: Pair) -> None:
    private, public = made(kind)
    key = Key(f"pair-{kind.lower()}-key", private)
    if kind not in TAKEN[place.traits.venue]:
        with pytest.raises(UsageError, match="does not take"):
            await place.ask(place.reads.balances(), place.talker(place.reads.sign, key))
        return
    place.face.parts.keys.add(SimKey(access=key.access, secret=public, created_ns=place.clock.now_ns()))
    assert await place.ask(place.reads.balances(), place.talker(place.reads.sign, key))
    want = place.wanted()
    said = await place.do(place.verbs.place(want), Doing.PLACE, place.talker(place.verbs.sign, key))
    assert isinstance(said, Accepted)
    async with entry(place, key) as socket:
        cancelled = await socket.do(place.verbs.cancel(want.instrument.symbol, client_id=want.client_id), Doing.CANCEL)
        assert isinstance(cancelled, Accepted)
    assert not place.truth(want.client_id).open


async def test_another_private_key_proves_nothing(place: Place) -> None:
    for kind in TAKEN[place.traits.venue]:
        key = Key(f"pair-{kind.lower()}-key", made(kind)[0])
        place.face.parts.keys.add(SimKey(access=key.access, secret=made(kind)[1], created_ns=place.clock.now_ns()))
        with pytest.raises(Refused):
            await place.ask(place.reads.balances(), place.talker(place.reads.sign, key))
        want = place.wanted()
        said = await place.do(place.verbs.place(want), Doing.PLACE, place.talker(place.verbs.sign, key))
        assert isinstance(said, Explained)
        assert said.trouble is Trouble.INVALID_KEY
        assert place.sim.find(client_id=want.client_id) is None
