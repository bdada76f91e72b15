"""A no to a person: the rule that said it and what would satisfy it."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Why a raising verb was refused. `rule` is a stable name for programs, `message` says expected, found and what to do."""

    rule: str
    message: str
