"""The cycle model: exact times of all transfers, and the queue depths that follow from them."""
