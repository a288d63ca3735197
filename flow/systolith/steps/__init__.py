"""Pruning and budgets of an experiment."""
