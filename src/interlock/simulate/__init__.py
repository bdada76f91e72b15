"""The matching model and the drivers that replay a tape through it."""
