"""Layers without arithmetic: they move values to other channels or pixels, or copy them."""
