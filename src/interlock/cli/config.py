"""`interlock config`: what a configuration comes to, where each value is from, and one file that says it all."""

from __future__ import annotations

import json as json_format
import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from interlock.cli import exit_codes

app = App(name="config", help="Show and freeze what a configuration comes to.", default_parameter=Parameter(negative=()))

Given = Annotated[tuple[str, ...], Parameter(name="--set", negative=())]
Profile = Annotated[str | None, Parameter(name="--profile")]


@app.command
def show(
    config: Annotated[Path, Parameter(name="CONFIG")],
    /,
    *,
    origin: bool = False,
    profile: Profile = None,
    given: Given = (),
    json: bool = False,
) -> int:
    """Show every value that a run would use, after profile, environment and arguments; nothing is started.

    Parameters
    ----------
    config
        The configuration, a TOML file.
    origin
        Say of each value where it comes from: default, file, profile, environment or argument.
    profile
        A table [profiles.NAME] of the file, which is laid over the rest of it.
    given
        key=value, laid over everything else; may be given again. A part with a dot stands in quotes.
    json
        Print one JSON object instead of text; it always has the origins.
    """
    from interlock.run.layers import resolve

    found = resolve(config, os.environ, profile=profile, given=given)
    values = found.values()
    if json:
        listed = [{"key": one.key, "value": one.value, "origin": one.origin.layer.value, "from": one.origin.name} for one in values]
        print(json_format.dumps({"config": str(config), "profile": profile, "digest": found.digest, "values": listed}, ensure_ascii=False))
        return exit_codes.DONE
    for one in values:
        line = f"{one.key} = {json_format.dumps(one.value, ensure_ascii=False)}"
        where = f" {one.origin.name}" if one.origin.name else ""
        print(f"{line:<64} # {one.origin.layer.value}{where}" if origin else line)
    print(f"digest {found.digest}")
    return exit_codes.DONE


@app.command
def freeze(
    label: Annotated[str, Parameter(name="LABEL")],
    config: Annotated[Path, Parameter(name="CONFIG")],
    /,
    *,
    out: Path | None = None,
    profile: Profile = None,
    given: Given = (),
    json: bool = False,
) -> int:
    """Write what a configuration comes to as one file LABEL.toml with its digest, which is that of every run of it; nothing is overwritten.

    Parameters
    ----------
    label
        The name of the file, without its ending.
    config
        The configuration, a TOML file.
    out
        The folder (default: that of CONFIG). The limits that it names are put beside it.
    profile
        A table [profiles.NAME] of the file, which is laid over the rest of it.
    given
        key=value, laid over everything else; may be given again.
    json
        Print one JSON object instead of text.
    """
    from interlock.run.frozen import freeze as write
    from interlock.run.layers import resolve

    found = resolve(config, os.environ, profile=profile, given=given)
    path = write(found, label, out or config.parent)
    told = {"file": str(path), "digest": found.digest}
    print(json_format.dumps(told, ensure_ascii=False) if json else f"{path}: digest {found.digest}")
    return exit_codes.DONE
