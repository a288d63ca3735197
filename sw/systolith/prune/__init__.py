"""Pruning: masks from pattern, score and schedule."""
