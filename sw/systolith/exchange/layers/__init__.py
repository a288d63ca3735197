"""Layers of the integer network, made from values; the sparsity that their weights have."""
