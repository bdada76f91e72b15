"""Bybit v5 on the wire: linear perpetuals of a unified account, over REST, the public, private and trade sockets."""

from interlock.simulate.served.bybit.face import make
from interlock.simulate.served.bybit.limits import rates

__all__ = ["make", "rates"]
