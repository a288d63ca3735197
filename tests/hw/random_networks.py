"""Random networks of every layer that an engine exists for; see :mod:`systolith.fuzz`."""

from systolith.fuzz import random_images, random_network, random_residual_network

__all__ = ["random_images", "random_network", "random_residual_network"]
