"""How a command that did not finish says so: one message, in the form that the caller asked for."""

import json
import sys
from collections.abc import Sequence


def wants_json(arguments: Sequence[str]) -> bool:
    """Say whether the command line asks for JSON, even one that is too wrong to be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def report(kind: str, message: str, *, as_json: bool) -> None:
    """Write one error: to stderr for a person, or as the only JSON object on stdout.

    The object is `{"error": {"kind": ..., "message": ...}}`; `kind` is the name of the error's class, so a
    script can tell errors of one exit code apart.
    """
    if as_json:
        print(json.dumps({"error": {"kind": kind, "message": message}}, ensure_ascii=False))
    else:
        print(f"interlock: {message}", file=sys.stderr)
