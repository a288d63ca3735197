"""The choice of an engine for each layer, within a budget or for a number of cycles."""
