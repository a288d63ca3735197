"""Pruning without training: images are enough, labels are not needed.

:class:`ReconstructingPruner` masks weights and changes the kept ones so that outputs stay;
:func:`reconstruct_consumers_` does so for the layers behind removed filters.
:func:`recalibrate_batch_norms_` corrects statistics after weights changed without training, and
:func:`measure_wanda` makes a score from magnitudes and inputs. Where there are no images,
:func:`distill_images` makes some from the statistics of batch norms.
"""

from systolith.prune.posttraining.batch_norms import (
    BatchStatistics,
    measure_batch_norms,
    recalibrate_batch_norms_,
)
from systolith.prune.posttraining.consumers import (
    reconstruct_consumers_,
    reconstruct_masked_consumers_,
)
from systolith.prune.posttraining.distilled_images import distill_images
from systolith.prune.posttraining.input_norms import WandaScore, measure_wanda
from systolith.prune.posttraining.moments import (
    count_calls,
    measure_input_moments,
    measure_output_moments,
)
from systolith.prune.posttraining.output_moments import OutputMoments, unfold_columns
from systolith.prune.posttraining.reconstruction import (
    ReconstructedLayer,
    ReconstructingPruner,
    reconstruct_layer,
    reconstruction_losses,
)

__all__ = [
    "BatchStatistics",
    "OutputMoments",
    "ReconstructedLayer",
    "ReconstructingPruner",
    "WandaScore",
    "count_calls",
    "distill_images",
    "measure_batch_norms",
    "measure_input_moments",
    "measure_output_moments",
    "measure_wanda",
    "recalibrate_batch_norms_",
    "reconstruct_consumers_",
    "reconstruct_layer",
    "reconstruct_masked_consumers_",
    "reconstruction_losses",
    "unfold_columns",
]
