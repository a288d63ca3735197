"""The meaning of single recorded calls in hardware: :mod:`recognize` asks the other modules."""
