"""Steps and widths of quantizers, how both are learned, and steps as integers."""
