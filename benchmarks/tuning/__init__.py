"""Pruning and hardware chosen together: what is found, and how it compares at equal cost."""
