"""Methods that train with masks of weights, which follow from the weights.

:class:`FrozenMasks` never change. :class:`SRSTE` and :class:`DPF` recompute masks from dense
weights that learn on, :class:`ADMM` pulls weights towards the pattern, and :class:`SPP` raises and
lowers probabilities by rank. :mod:`systolith.prune.dpp` learns probabilities from gradients.
"""

from systolith.prune.sparsify.admm import ADMM
from systolith.prune.sparsify.dpf import DPF
from systolith.prune.sparsify.frozen_masks import FrozenMasks
from systolith.prune.sparsify.spp import SPP
from systolith.prune.sparsify.spp_schedule import spp_increment, spp_updates
from systolith.prune.sparsify.srste import SRSTE

__all__ = ["ADMM", "DPF", "SPP", "SRSTE", "FrozenMasks", "spp_increment", "spp_updates"]
