"""Keys whose secret is the private half of a pair: RSA (PKCS#1 v1.5 over SHA-256) and Ed25519, proofs in base64.

The venue holds the public half, so that nobody there can sign for us. Sources: Binance's "SIGNED endpoint security" and Bybit's "Authentication".
"""

from __future__ import annotations

import base64
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from interlock.domain.errors import UsageError
from interlock.venues.request import Pair

LEAST_BITS: Final = 2048
"""Of an RSA key, as Binance asks for."""


class KeyPair:
    """A private key from PEM without a passphrase. Nothing of it is ever shown.

    Raises UsageError for anything else, without a word of what was found.
    """

    __slots__ = ("_private", "kind")

    def __init__(self, pem: str) -> None:
        if not pem.isascii():
            raise UsageError("secret: expected a private key in PEM, which is ASCII, found other characters; copy it anew")
        try:
            private = load_pem_private_key(pem.encode("ascii"), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The library's words may quote what it read, so they are not passed on.
            raise UsageError("secret: expected a private key in PEM without a passphrase, found one that cannot be read") from None
        if isinstance(private, rsa.RSAPrivateKey):
            if private.key_size < LEAST_BITS:
                raise UsageError(f"secret: expected an RSA key of {LEAST_BITS} bits or more, found {private.key_size}; make a new one")
            self.kind = Pair.RSA
        elif isinstance(private, ed25519.Ed25519PrivateKey):
            self.kind = Pair.ED25519
        else:
            raise UsageError("secret: expected an RSA or Ed25519 key, found another kind; no venue here takes it")
        self._private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = private

    def proof(self, proven: bytes) -> str:
        """The signature over these bytes in base64; the same for the same bytes."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            signature = self._private.sign(proven, padding.PKCS1v15(), SHA256())
        else:
            signature = self._private.sign(proven)
        return base64.b64encode(signature).decode("ascii")
