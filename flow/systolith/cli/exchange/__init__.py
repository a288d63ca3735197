"""The commands ``systolith import`` and ``systolith export``, and what they print about files."""
