"""The wire protocol of Upbit's Korean site, spot in KRW markets: REST, the public stream and the private one.

Where the documentation leaves a choice, the module that makes it says so with "chosen".
"""

from interlock.simulate.served.upbit.face import make
from interlock.simulate.served.upbit.limits import rates

__all__ = ["make", "rates"]
