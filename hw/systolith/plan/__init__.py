"""Folding, cycle and area model of the engines."""
