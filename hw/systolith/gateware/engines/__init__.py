"""Engines of layers: convolution, addition, pool, and the requantizers at their ends."""
