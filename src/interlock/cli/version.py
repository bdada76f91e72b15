"""`interlock version`."""

import json as json_format
import platform
from importlib import metadata


def version(*, json: bool = False) -> None:
    """Print the versions of interlock and of Python.

    Parameters
    ----------
    json
        Print one JSON object instead of text.
    """
    found = {"interlock": metadata.version("interlock"), "python": platform.python_version()}
    if json:
        print(json_format.dumps(found))
    else:
        print(f"interlock {found['interlock']}, Python {found['python']}")
