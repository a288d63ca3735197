"""Netlists that synthesis makes: models of their cells, and proof that they compute the same."""
