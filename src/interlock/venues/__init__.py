"""Venues: each folder holds one venue's wire, and what of it the engine, the gate and the importers share."""
