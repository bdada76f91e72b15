"""The gate: what decides whether an order may exist. So far its numeric limits."""
