"""Comparison of simulated streams with the reference."""
