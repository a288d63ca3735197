"""Helpers that tests of several rooms share: networks, test benches, strategies, a browser."""
