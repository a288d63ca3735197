"""From [train] and [quantize] of an experiment file to a recipe and bit widths."""

from torch import Tensor

from systolith.config import Experiment
from systolith.quant import LayerBits, QuantConfig
from systolith.stages.factories import AUGMENTS
from systolith.train import Algorithm, Precision, Recipe

__all__ = ["make_bits", "make_recipe"]


def make_recipe(experiment: Experiment) -> Recipe:
    """Translate [train], the augmentation of [data], and the seed."""
    section = experiment.train
    return Recipe(
        float_epochs=section.float_epochs,
        prune_epochs=section.prune_epochs,
        quantize_epochs=section.quantize_epochs,
        learning_rate=section.learning_rate,
        batch_size=section.batch_size,
        weight_decay=section.weight_decay,
        algorithm=Algorithm(section.algorithm),
        precision=Precision(section.precision),
        augment=AUGMENTS[experiment.data.augment],
        seed=experiment.seed,
    )


def make_bits(experiment: Experiment, *images: Tensor) -> QuantConfig:
    """Translate [quantize].

    Parameters
    ----------
    experiment : Experiment
    *images : Tensor
        Inputs of the network. Unless [quantize] says whether they are signed, they are if any pixel
        is negative.
    """
    section = experiment.quantize
    signed = section.input_signed
    if signed is None:
        signed = any(bool((part < 0).any()) for part in images)
    layers = {
        name: LayerBits(
            weight_bits=bits.weight_bits, act_bits=bits.act_bits, narrow_range=bits.narrow_range
        )
        for name, bits in section.layers.items()
    }
    return QuantConfig(
        weight_bits=section.weight_bits,
        act_bits=section.act_bits,
        narrow_range=section.narrow_range,
        layers=layers,
        input_signed=signed,
    )
