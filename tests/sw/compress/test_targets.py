"""Every kind of target goes through pruning and quantization."""

import pytest
import torch
from torch import nn

from systolith.compress import (
    DPPFilterPruning,
    DPPPruning,
    MagnitudePruning,
    Pruning,
    TaylorPruning,
    Trainer,
    compress_model,
)
from systolith.data import (
    Dataset,
    MixUp,
    TargetKind,
    combine_augments,
    shift_images,
)
from systolith.frontend import IntegerModel, lower
from systolith.network import KOutOfN, Pattern, forward
from systolith.prune import Cubic
from systolith.train import DenseTeacher, Metric, Recipe, evaluate_data

PATTERNS = {"3": Pattern(select=KOutOfN(2, 4))}
KINDS = {
    TargetKind.PIXEL_CLASSES: (3, combine_augments([shift_images, MixUp()])),
    TargetKind.VALUES: (1, MixUp()),
    TargetKind.INPUT: (2, shift_images),
}


def _data(kind: TargetKind) -> Dataset:
    images = torch.rand(28, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = {
        TargetKind.PIXEL_CLASSES: (3 * images[:, 0]).long(),
        TargetKind.VALUES: images.mean(1, keepdim=True),
        TargetKind.INPUT: torch.zeros(0, dtype=torch.int64),
    }[kind]
    return Dataset(
        name="noise",
        train_images=images[:20],
        train_labels=labels[:20],
        test_images=images[20:],
        test_labels=labels[20:],
        target=kind,
    )


@pytest.mark.filterwarnings("ignore:(DPP|Taylor|taylor|dpp|augmentation)")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "pruning",
    [
        DPPFilterPruning(keep=0.5),
        TaylorPruning(keep=0.5),
        DPPPruning(patterns=PATTERNS, joint=True),
        MagnitudePruning(patterns=PATTERNS, schedule=Cubic()),
    ],
    ids=lambda pruning: pruning.method,
)
def test_networks_are_pruned_and_quantized(kind: TargetKind, pruning: Pruning) -> None:
    filters, augment = KINDS[kind]
    data = _data(kind)
    recipe = Recipe(
        float_epochs=1,
        prune_epochs=2,
        quantize_epochs=1,
        batch_size=8,
        augment=augment,
        teacher=DenseTeacher(),
    )
    model = nn.Sequential(
        *(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Conv2d(8, filters, 1),
    )
    quantized = compress_model(model, Trainer(data=data, recipe=recipe), [pruning]).eval()
    integers = IntegerModel(quantized)
    images = integers.quantize_input(data.test_images)
    (outputs,) = forward(lower(quantized), images).values()
    assert torch.equal(torch.from_numpy(outputs), integers.logits(data.test_images))
    read = integers.logits if kind.is_classes else integers.real_outputs
    metrics = evaluate_data(read, data)
    assert metrics.keys() == (
        {Metric.ACCURACY, Metric.MEAN_IOU}
        if kind.is_classes
        else {Metric.SQUARED_ERROR, Metric.ABSOLUTE_ERROR}
    )
