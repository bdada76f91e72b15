"""The `interlock` command: one module a verb, no logic."""
