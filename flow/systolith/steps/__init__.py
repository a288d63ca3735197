"""The stages from model to report."""
