"""The sentinel: a process of its own that can cancel everything and needs nothing of the gate."""
