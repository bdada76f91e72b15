"""The independent checker: what must hold of every journal and of what a venue saw, computed anew and without a line of the gate's own code.

It knows the journal's bytes from their description, trusts no verdict that a record carries, and reads only. `check` judges a journal as it lies,
`watch` reads along with one that is being written.
"""
