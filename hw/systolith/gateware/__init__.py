"""Amaranth components of the engines."""
