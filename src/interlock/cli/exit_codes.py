"""What the exit status of every command means."""

from typing import Final

DONE: Final = 0
REFUSED: Final = 1
"""Refused, failed or not passed."""
USAGE: Final = 2
"""Wrong usage, or an input that cannot be used."""
DAMAGED: Final = 3
"""State that interlock wrote earlier is damaged."""
INTERRUPTED: Final = 130
"""Stopped from the keyboard (128 + SIGINT)."""
