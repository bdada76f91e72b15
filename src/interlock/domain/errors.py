"""The tree of errors that a person meets, grouped by what they must do next.

InterlockError          exit 1   base; the message says what was expected, what was found, what to do
|- Refused              exit 1   a rule said no; nothing is wrong with the input
|- UsageError           exit 2   the command or its configuration is wrong
|  `- BadInput          exit 2   a file is wrong; names the file and the place in it
|- DamagedState         exit 3   something that interlock wrote earlier does not read back as written
`- CurrencyMismatch     exit 1   arithmetic across currencies; always a defect in the caller
"""

from __future__ import annotations


class InterlockError(Exception):
    """Base of every error that is reported to a person; `exit_code` is the process's answer."""

    exit_code = 1


class Refused(InterlockError):
    """A rule refused the request; the message names the rule and what would satisfy it."""

    exit_code = 1


class UsageError(InterlockError):
    """The command line or a configuration value cannot be used; nothing was started."""

    exit_code = 2


class BadInput(UsageError):
    """An input file cannot be used. Carries the place, so that a person can look there.

    `file` is the path as the user gave it; `place` is a line, record or key within it (may be empty).
    """

    def __init__(self, file: object, place: str, problem: str) -> None:
        self.file = str(file)
        self.place = place
        self.problem = problem
        where = f"{self.file}, {place}" if place else self.file
        super().__init__(f"{where}: {problem}")


class DamagedState(InterlockError):
    """A file that interlock wrote does not match its own digest or schema."""

    exit_code = 3


class CurrencyMismatch(InterlockError):
    """Amounts of two currencies met in one operation; convert with an `FxQuote` first."""
