"""Mutation testing of the gate: defects are made one at a time in a copy of the sources, and the tests must notice each (docs/mutants.md)."""
