"""A resolved configuration as one TOML file that says it all: every value written out, its digest beside it, made whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interlock.domain.errors import BadInput, Refused, UsageError
from interlock.run.config import RunConfig, parse_config
from interlock.run.layers import Resolved

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def frozen_text(config: RunConfig) -> str:
    """The text, whose digest when it is read is that of the configuration. Raises Refused if it were not, which is a defect."""
    text = "\n".join(_tables(config.canonical(), ())) + "\n"
    again = parse_config(tomllib.loads(text), Path("frozen"))
    if again.digest != config.digest:
        raise Refused(f"expected a frozen configuration of digest {config.digest}, found {again.digest}; this is a defect, report it")
    return text


def freeze(resolved: Resolved, label: str, folder: Path) -> Path:
    """Write `<label>.toml` into a folder, with the file of limits that it names beside it; gives its path.

    Raises UsageError for a label that is no file name, BadInput for a file that is there already: nothing is ever overwritten.
    """
    if not _LABEL.fullmatch(label):
        raise UsageError(f"LABEL: expected letters, digits, dots and dashes, at most 64, found {label!r}")
    target = folder / f"{label}.toml"
    head = f"# interlock config freeze {label}\n# digest {resolved.digest}\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(folder, "", f"expected a folder or none, found: {error.strerror}; choose another") from error
    limits = None if resolved.config.live is None else resolved.config.live.limits
    if limits is not None:
        _limits_beside(resolved.path.parent / limits, folder / limits, resolved.path)
    if not _put_new(target, (head + frozen_text(resolved.config)).encode()):
        raise BadInput(target, "", "expected no such file, found one; a frozen configuration is never overwritten, choose another label")
    return target


def _limits_beside(given: Path, wanted: Path, config: Path) -> None:
    """The limits where the frozen file will look for them."""
    try:
        data = given.read_bytes()
    except OSError as error:
        raise BadInput(config, "live.limits", f"expected a readable file of limits at {given}: {error}") from error
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if not _put_new(wanted, data) and wanted.read_bytes() != data:
        raise BadInput(wanted, "", f"expected the limits of {given} or no file, found other limits; freeze into another folder")


def _put_new(target: Path, data: bytes) -> bool:
    """Make a file whole; False where one is already. Raises BadInput for a place that cannot be written."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        part = Path(name)
        try:
            with os.fdopen(number, "wb") as file:
                os.fchmod(number, 0o644)
                file.write(data)
                file.flush()
                os.fsync(number)
            # A link fails where a file is, a rename would replace it.
            os.link(part, target)
        finally:
            part.unlink()
    except FileExistsError:
        return False
    except OSError as error:
        raise BadInput(target, "", f"expected a place that can be written, found: {error.strerror}; choose another") from error
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


# TOML


def _tables(node: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: its own values first, then the tables in it. What is null is left out: TOML has no such value."""
    own = {name: value for name, value in node.items() if value is not None and not isinstance(value, dict)}
    if above and (own or not any(isinstance(value, dict) for value in node.values())):
        yield ""
        yield f"[{'.'.join(map(_key, above))}]"
    for name, value in own.items():
        yield f"{_key(name)} = {_value(value)}"
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _tables(value, (*above, name))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            # JSON's escapes are TOML's, but for the delete sign, which TOML wants escaped too.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            return f"[{', '.join(_value(one) for one in value)}]"
        case dict():
            return "{ " + ", ".join(f"{_key(name)} = {_value(part)}" for name, part in value.items() if part is not None) + " }"
    raise TypeError(f"expected a plain value, found {type(value).__name__}")
