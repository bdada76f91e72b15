"""Market data at rest: tapes, their columns, and the compiled books over them."""
