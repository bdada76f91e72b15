"""The composition root: from a configuration and a mode to the parts that run."""
