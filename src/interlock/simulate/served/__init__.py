"""Simulators of the three venues that speak their wire protocols: one core, and a face for each venue."""
