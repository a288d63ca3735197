"""A zoo of networks that people deploy: quantized on the spot, each with a card.

:data:`ZOO` lists them, :func:`read_cards` says what each is and how fast it is on which device, and
:func:`systolith.zoo.making.make_network`, which needs PyTorch, quantizes one.
"""

from systolith.zoo.cards import CARDS, ZooCard, make_card, read_cards, smallest_fit
from systolith.zoo.entries import ZOO, Door, ZooEntry, find_entry

__all__ = [
    "CARDS",
    "ZOO",
    "Door",
    "ZooCard",
    "ZooEntry",
    "find_entry",
    "make_card",
    "read_cards",
    "smallest_fit",
]
