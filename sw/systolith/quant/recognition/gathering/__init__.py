"""Calls that wait for the layer that takes them: moves, padding, factors, functions of values."""
