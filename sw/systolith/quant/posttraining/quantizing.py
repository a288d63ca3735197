"""A trained model quantized in one call, from calibration images alone."""

from torch import Tensor, nn

from systolith.prune import MaskSet
from systolith.quant.config import QuantConfig
from systolith.quant.model import QuantizedModel
from systolith.quant.posttraining.reconstruction import PostTraining, reconstruct_
from systolith.quant.prepare import prepare

__all__ = ["quantize_trained"]


def quantize_trained(
    model: nn.Module,
    images: Tensor,
    config: QuantConfig | None = None,
    masks: MaskSet | None = None,
    settings: PostTraining | None = None,
) -> QuantizedModel:
    """Quantize a trained model without training it: :func:`prepare`, then :func:`reconstruct_`.

    Parameters
    ----------
    model, images, config, masks
        As for :func:`prepare`. Images need no labels; 512 are enough for CIFAR-10.
    settings : PostTraining, optional
        Default: reconstructed weights and corrected biases.

    Returns
    -------
    QuantizedModel
        In evaluation mode, ready for :func:`systolith.frontend.lower`.

    Raises
    ------
    UnsupportedModelError
        Lists all that does not fit.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    >>> quantized = quantize_trained(model, torch.rand(16, 1, 8, 8))
    >>> list(quantized.layers)
    ['layer_0', 'layer_2', 'layer_3']
    """
    quantized = prepare(model, images, config, masks)
    reconstruct_(quantized, images, settings)
    return quantized.eval()
