"""PE arrays: processing elements, their weights, and the accumulators below the columns."""
