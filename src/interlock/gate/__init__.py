"""The gate: what decides whether an order may exist, remembers it, and is the only way out. docs/architecture.md walks through it."""
