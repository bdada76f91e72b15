"""Journals that earlier versions of the gate wrote, and the story that makes a new one."""
