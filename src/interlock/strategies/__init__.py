"""Strategies: compiled kernels under one contract, and their parameters."""
