"""Quantization: fake-quantized against integer models, and rounding without training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pruning.workbench import Workbench
from systolith.data import Dataset, load_digits
from systolith.frontend import IntegerModel
from systolith.models import DigitsCNN
from systolith.prune import prunable_layers
from systolith.quant import (
    LayerBits,
    PostTraining,
    QuantConfig,
    QuantizedModel,
    WeightRounding,
    prepare,
    reconstruct_,
)
from systolith.train import Recipe, evaluate, train_float

NAME = "post-training-quantization"
BATCH, DIGITS_EPOCHS = 256, 10
AGREEMENT_BITS = (8, 4, 2)
AGREEMENT_IMAGES = {"digits": 10_000, "resnet8": 10_000, "resnet20": 2_000}
"""Most test images per network; the integer model of ResNet-20 takes 30 ms for each."""
WIDTHS = {
    "w8a8": (8, False),
    "w4a8, first and last layer 8 bits": (4, True),
    "w4a8": (4, False),
}
"""Bits of weights, and whether those of the first and the last layer have 8 instead."""
SETTINGS = {
    "nearest": PostTraining(rounding=WeightRounding.NEAREST, bias_correction=False),
    "nearest, bias correction": PostTraining(rounding=WeightRounding.NEAREST),
    "reconstructed": PostTraining(bias_correction=False),
    "reconstructed, bias correction": PostTraining(),
}
POST_TRAINING_NETWORKS = ("resnet8", "resnet20")


@dataclass(frozen=True)
class Subject:
    """A trained network and its images."""

    model: nn.Module
    data: Dataset

    @classmethod
    def make(cls, name: str, bench: Workbench) -> "Subject":
        if name != "digits":
            return cls(bench.trained(name), bench.data(name))
        data, model = load_digits(seed=0), DigitsCNN(seed=0)
        train_float(model, data, Recipe(float_epochs=bench.epochs(DIGITS_EPOCHS)))
        return cls(model, data)

    def quantize(self, bits: int, act_bits: int, *, wide_ends: bool = False) -> QuantizedModel:
        first, *_, last = prunable_layers(self.model)
        ends = {first: LayerBits(weight_bits=8), last: LayerBits(weight_bits=8)}
        config = QuantConfig(
            weight_bits=bits,
            act_bits=act_bits,
            layers=ends if wide_ends else {},
            input_signed=bool(self.data.train_images.min() < 0),
        )
        return prepare(self.model.eval(), self.data.calibration_images, config)


def agreement(bench: Workbench) -> Mapping[str, Any]:
    """Count test images in which fake-quantized and integer models differ."""
    rows = [
        dict(bench.stage(f"agreement-{name}-{bits}", lambda n=name, b=bits: _compare(n, b, bench)))
        for name in AGREEMENT_IMAGES
        for bits in AGREEMENT_BITS
    ]
    return {"quantized": "post-training, nearest, weights and activations alike", "rows": rows}


def _compare(name: str, bits: int, bench: Workbench) -> Mapping[str, Any]:
    subject = Subject.make(name, bench)
    quantized = subject.quantize(bits, bits)
    images = subject.data.test_images[: AGREEMENT_IMAGES[name]]
    integers = IntegerModel(quantized).logits(images)
    step = quantized.quantizer(quantized.wirings[-1].name).step.detach().double()
    evaluated = (_run(quantized.eval(), images).double() / step).round().long()
    trained = _run(quantized.train(), images)
    return {
        "network": name,
        "bits": bits,
        "images": len(images),
        "logits_differ": int((evaluated != integers).any(1).sum()),
        "classes_differ": int((evaluated.argmax(1) != integers.argmax(1)).sum()),
        "classes_differ_in_training_mode": int((trained.argmax(1) != integers.argmax(1)).sum()),
    }


@torch.no_grad()
def _run(model: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([model(batch) for batch in images.split(BATCH)])


def post_training(bench: Workbench) -> None:
    """Measure each rounding on all test images, without training; write the file after each row."""
    accuracies = {name: _float_accuracy(name, bench) for name in POST_TRAINING_NETWORKS}
    rows: list[Mapping[str, Any]] = []
    for network, widths, settings in product(POST_TRAINING_NETWORKS, WIDTHS, SETTINGS):
        stage = f"post-training-{network}-{widths}-{settings}"
        rows.append(bench.stage(stage, partial(_round, network, widths, settings, bench)))
        content = {"calibration_images": 512, "test_images": 10_000, "accuracy_float": accuracies}
        bench.record(NAME, {**content, "rows": rows})


def _round(network: str, widths: str, settings: str, bench: Workbench) -> Mapping[str, Any]:
    subject = Subject.make(network, bench)
    bits, wide_ends = WIDTHS[widths]
    quantized = subject.quantize(bits, 8, wide_ends=wide_ends)
    start = process_time()
    reconstruct_(quantized, subject.data.calibration_images, SETTINGS[settings])
    seconds = process_time() - start
    data = subject.data
    return {
        "network": network,
        "widths": widths,
        "settings": settings,
        "processor_seconds": round(seconds, 1),
        "accuracy": evaluate(quantized, data.test_images, data.test_labels),
    }


def _float_accuracy(network: str, bench: Workbench) -> float:
    def measure() -> Mapping[str, Any]:
        subject = Subject.make(network, bench)
        images, labels = subject.data.test_images, subject.data.test_labels
        return {"accuracy": evaluate(subject.model, images, labels)}

    return float(bench.stage(f"post-training-{network}-float", measure)["accuracy"])


def agreement_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of the table of agreement."""
    yield "| network | bits | images | other logits | other class | other class, training mode |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        cells = [
            row["network"],
            row["bits"],
            f"{row['images']:,}",
            row["logits_differ"],
            row["classes_differ"],
            row["classes_differ_in_training_mode"],
        ]
        yield f"| {' | '.join(str(cell) for cell in cells)} |"


def post_training_rows(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines of the table of post-training quantization."""
    yield f"| network | widths | {' | '.join(SETTINGS)} | float |"
    yield f"|---|---|{'---|' * (len(SETTINGS) + 1)}"
    found = {(row["network"], row["widths"], row["settings"]): row for row in result["rows"]}
    for network, accuracy in result["accuracy_float"].items():
        for widths in WIDTHS:
            cells = [
                f"{row['accuracy']:.2%} ({row['processor_seconds']:.0f} s)" if row else ""
                for row in (found.get((network, widths, name)) for name in SETTINGS)
            ]
            yield f"| {network} | {widths} | {' | '.join(cells)} | {accuracy:.2%} |"
