"""Counts with their nouns. Stages use them, whose cache keys should not depend on tables."""

__all__ = ["count_of"]


def count_of(number: int, what: str) -> str:
    """Write a number with its noun.

    >>> count_of(1, "image"), count_of(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"
