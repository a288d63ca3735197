"""From accumulators to activations: scaling, rounding, thresholds, and their parameters."""
