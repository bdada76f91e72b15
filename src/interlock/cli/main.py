"""The entry point: the table of verbs, and what an error becomes.

A verb is a function in a module of its own in this folder, imported only when it is called: `interlock
--help` must not wait for numba. It takes its options as annotated parameters, `json: bool = False` among
them, and returns an exit code (None is 0). Errors that a person meets are raised as `InterlockError`, not
printed.
"""

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from interlock.cli import exit_codes
from interlock.cli.errors import report, wants_json
from interlock.domain.errors import InterlockError

VERBS: Final[tuple[tuple[str, str, str], ...]] = (
    # verb, "module:function" (or "module:app", a cyclopts App with subcommands), its line in the help
    ("arm", "interlock.cli.arm:arm", "Give a running gate leave to trade, by a ceremony."),
    ("attest", "interlock.cli.attest:attest", "Say what a venue does not tell of a running gate's key."),
    ("config", "interlock.cli.config:app", "Show what a configuration comes to and where each value is from; freeze it."),
    ("demo", "interlock.cli.demo:demo", "Run the whole system on this host for a minute."),
    ("disarm", "interlock.cli.disarm:disarm", "End a running gate's leave to trade."),
    ("drill", "interlock.cli.drill:drill", "Prove that the sentinel cancels a real order while the gate stands still."),
    ("freeze", "interlock.cli.freeze:freeze", "Set a latch of a running gate by hand."),
    ("gate", "interlock.cli.gate:app", "Run the gate."),
    ("intent", "interlock.cli.intent:intent", "Propose orders to a running gate."),
    ("journal", "interlock.cli.journal:app", "Check, look at, pass on and pack the gate's journal."),
    ("kill", "interlock.cli.kill:kill", "Stop everything and cancel every order, now."),
    ("ledger", "interlock.cli.ledger:app", "Announce a transfer to a running gate, or correct its books."),
    ("record", "interlock.cli.record:record", "Record public market data as it comes."),
    ("release", "interlock.cli.release:release", "Say what became of a quarantined order."),
    ("replay", "interlock.cli.replay:replay", "Replay a tape through a strategy and write the evidence."),
    ("resume", "interlock.cli.resume:resume", "Clear a latch of a running gate, or raise its level."),
    ("status", "interlock.cli.status:status", "Show how a running gate stands."),
    ("run", "interlock.cli.run:run", "Run a strategy against venues: gate, sentinel and engine together."),
    ("tape", "interlock.cli.tape:app", "Make, look at, check and pass on tapes."),
    ("tighten", "interlock.cli.tighten:tighten", "Put tighter limits in force in a running gate, at once."),
    ("trace", "interlock.cli.trace:app", "Check a journal against the invariants, independently of the gate."),
    ("venues", "interlock.cli.venues:app", "Simulated venues that speak the real wire protocols."),
    ("version", "interlock.cli.version:version", "Print the versions of interlock and of Python."),
    ("watch", "interlock.cli.watch:watch", "Watch a running gate in the terminal; one key, twice, kills."),
    ("why", "interlock.cli.why:why", "Tell why an order of a run was made or denied, from the frame to its end."),
)


def build_app() -> App:
    """Return the command with every verb registered and none of their modules imported."""
    app = App(
        name="interlock",
        help="A trading engine for arbitrage and market making.",
        version=lambda: metadata.version("interlock"),
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for verb, target, line in VERBS:
        app.command(target, name=verb, help=line)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `exit_codes`); `argv` is without the program's name.

    Only usage errors, `InterlockError` and the keyboard interrupt are turned into a message. Anything else is
    a defect and keeps its traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    as_json = wants_json(arguments)
    try:
        result = build_app()(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        report("UsageError", f"{error} See `interlock --help`.", as_json=as_json)
        return exit_codes.USAGE
    except InterlockError as error:
        report(type(error).__name__, str(error), as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        report("Interrupted", "interrupted", as_json=as_json)
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output went away. Nothing more can be said there, and the interpreter must not try to when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.REFUSED
    return result if isinstance(result, int) else exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main())
