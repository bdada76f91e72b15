"""Upbit spot, markets in Korean won."""
