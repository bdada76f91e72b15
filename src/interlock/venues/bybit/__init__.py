"""Bybit v5, linear perpetual futures of a unified trading account."""
