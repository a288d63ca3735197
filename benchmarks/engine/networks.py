"""The networks: trained, quantized, and kept as integers."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.pruning import weights as pruning
from benchmarks.pruning.workbench import Workbench
from systolith.data import CALIBRATION_IMAGES, Dataset, load_fashion_mnist
from systolith.frontend import IntegerModel, lower
from systolith.models import DSCNN, LeNet5
from systolith.network import IntArray, IntegerNetwork, Pattern, PerNeuron, Strided, load, save
from systolith.prune import (
    DPP,
    FrozenMasks,
    LogitInit,
    MaskSet,
    all_convolutions_but_first,
    check_patterns,
)
from systolith.quant import QuantConfig, QuantizedModel, prepare
from systolith.quant.steps.lsq import quantize
from systolith.train import evaluate

FOLDER = Path(__file__).parent / "networks"
TAP_STRIDE = 3
FASHION = "fashion-mnist"
CIFAR, NORMALIZED_CIFAR = "cifar10", "cifar10, normalized"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a network comes from, and what it reads.

    Parameters
    ----------
    data : str
        Name of the data set, or None: random images.
    input_step : float
        An input integer is an image's value divided by this, rounded.
    accuracy : float, optional
        Of the integer model, on all test images.
    epochs : mapping of str to int
        Of each phase of training.
    """

    data: str | None
    input_step: float
    accuracy: float | None
    epochs: Mapping[str, int]


@dataclass(kw_only=True)
class Bench(Workbench):
    """With Fashion-MNIST besides."""

    fashion_path: Path

    def named(self, name: str) -> Dataset:
        """Find the data set that an origin names."""
        if name == FASHION:
            return load_fashion_mnist(self.fashion_path)
        return self.raw if name == CIFAR else self.normalized


def dense(bench: Bench) -> tuple[IntegerNetwork, Origin]:
    """ResNet-8 with its published weights and 8 bits, fine-tuned."""
    model, data = bench.trained("resnet8"), bench.data("resnet8")
    epochs = {"quantize": 2}
    name, rate = "resnet8-dense", 0.001
    return finetuned(bench, name, model, data, CIFAR, epochs=epochs, learning_rate=rate)


def pruned(
    network: str, bits: int, *, quantize_epochs: int | None = None, **wanted: Any
) -> Callable[[Bench], Any]:
    """One of the rows of ``benchmarks.pruning``, quantized in other epochs if they are given."""

    def make(bench: Bench) -> tuple[IntegerNetwork, Origin]:
        (case,) = [
            case
            for case in pruning.cases()
            if case.network == network
            and case.method == "srste"
            and all(getattr(case, name) == value for name, value in wanted.items())
        ]
        epochs = quantize_epochs or case.quantize_epochs
        row = pruning.run(replace(case, bits=(bits,), quantize_epochs=epochs), bench)
        stage = bench.stage(f"{case.name}-{bits}bit", dict)
        origin = Origin(
            data=CIFAR if network == "resnet8" else NORMALIZED_CIFAR,
            input_step=stage["input_step"],
            accuracy=row[f"accuracy_{bits}bit"],
            epochs={"prune": row["epochs_prune"], "quantize": row["epochs_quantize"]},
        )
        return load(bench.folder / "networks" / f"{case.name}-{bits}bit.json"), origin

    return make


def strided(bench: Bench) -> tuple[IntegerNetwork, Origin]:
    """ResNet-20 with 3 of 9 taps, the offsets with most weight; first layer and 1x1 whole."""
    model, data = bench.trained("resnet20"), bench.data("resnet20")
    patterns, found = {}, {}
    for name in all_convolutions_but_first(model, Pattern()):
        weight = model.get_submodule(name).get_parameter("weight").detach()
        if weight.shape[2] * weight.shape[3] < TAP_STRIDE:
            continue
        by_tap = weight.abs().sum(0).flatten(1)
        offsets = torch.stack([by_tap[:, o::TAP_STRIDE].sum(1) for o in range(TAP_STRIDE)])
        chosen = tuple(offsets.argmax(0).tolist())
        patterns[f"{name}.weight"] = pattern = Pattern(taps=Strided(TAP_STRIDE, chosen))
        found[f"{name}.weight"] = torch.from_numpy(pattern.best_mask(weight.numpy()))
    masks = MaskSet(found, patterns)
    epochs = {"prune": 2, "quantize": 1}

    def retrain() -> Mapping[str, Any]:
        bench.fit(
            "resnet20-strided-prune",
            model,
            data,
            epochs=bench.epochs(epochs["prune"]),
            learning_rate=0.05,
            warmup=0.05,
            weight_decay=1e-4,
            sparsifier=FrozenMasks(masks),
        )
        masks.apply_(model)
        return {"model": model.state_dict()}

    model.load_state_dict(bench.stage("resnet20-strided", retrain)["model"])
    return finetuned(
        bench, "resnet20-strided", model, data, NORMALIZED_CIFAR, epochs=epochs, masks=masks
    )


def per_neuron(bench: Bench) -> tuple[IntegerNetwork, Origin]:
    """LeNet-5 whose filters each keep a tenth of all their weights, anywhere, learned by DPP."""
    model, data = LeNet5(), bench.named(FASHION)
    kept = {"conv2": 50, "fc1": 80}
    patterns = check_patterns(
        model, {name: Pattern(select=PerNeuron(k)) for name, k in kept.items()}
    )
    sparsifier = DPP(model, patterns, init=LogitInit.MAGNITUDE, seed=0)
    epochs = {"float": 3, "prune": 5, "quantize": 1}

    def train() -> Mapping[str, Any]:
        common = {"learning_rate": 0.02, "warmup": 0.05, "weight_decay": 1e-4, "augment": None}
        bench.fit("lenet5-float", model, data, epochs=bench.epochs(epochs["float"]), **common)
        bench.fit(
            "lenet5-prune",
            model,
            data,
            epochs=bench.epochs(epochs["prune"]),
            sparsifier=sparsifier,
            **common,
        )
        masks = sparsifier.masks(model)
        masks.apply_(model)
        return {"model": model.state_dict(), "masks": dict(masks), "patterns": dict(masks.patterns)}

    found = bench.stage("lenet5-neuron", train)
    model.load_state_dict(found["model"])
    masks = MaskSet(found["masks"], found["patterns"])
    return finetuned(bench, "lenet5-neuron", model, data, FASHION, epochs=epochs, masks=masks)


def depthwise(bench: Bench) -> tuple[IntegerNetwork, Origin]:
    """DS-CNN, untrained: its speech data are not at hand, and utilization needs none."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(CALIBRATION_IMAGES, 1, 49, 10, generator=generator)
    model = DSCNN().eval()
    quantized = prepare(model, images, QuantConfig())
    step = float(quantized.input_quantizer.step)
    origin = Origin(data=None, input_step=step, accuracy=None, epochs={})
    return lower(quantized, name="ds_cnn"), origin


def finetuned(
    bench: Bench,
    name: str,
    model: nn.Module,
    data: Dataset,
    data_name: str,
    *,
    epochs: Mapping[str, int],
    masks: MaskSet | None = None,
    learning_rate: float = 0.01,
) -> tuple[IntegerNetwork, Origin]:
    """Quantize to 8 bits and train for a short while."""
    config = QuantConfig(input_signed=bool(data.train_images.min() < 0))

    def train() -> Mapping[str, Any]:
        quantized = prepare(model, data.calibration_images, config, masks)
        bench.fit(
            f"{name}-8bit",
            quantized,
            data,
            epochs=bench.epochs(epochs["quantize"]),
            learning_rate=learning_rate,
            warmup=0.05,
            weight_decay=0.0,
            seed=1,
            **({"augment": None} if data_name == FASHION else {}),
        )
        save(
            lower(quantized, name=name.replace("-", "_")),
            bench.folder / "networks" / f"{name}-8bit.json",
        )
        return {"accuracy": _accuracy(quantized, data), "step": quantized.input_quantizer.step}

    found = bench.stage(f"{name}-8bit", train)
    origin = Origin(
        data=data_name,
        input_step=float(found["step"]),
        accuracy=found["accuracy"],
        epochs=epochs,
    )
    return load(bench.folder / "networks" / f"{name}-8bit.json"), origin


def _accuracy(quantized: QuantizedModel, data: Dataset) -> float:
    return float(evaluate(IntegerModel(quantized).logits, data.test_images, data.test_labels))


NETWORKS: Mapping[str, Callable[[Bench], tuple[IntegerNetwork, Origin]]] = {
    "resnet8-dense": dense,
    "resnet8-1of4": pruned("resnet8", 8, k=1, n=4, shared_by=1, prune_epochs=36),
    "resnet8-1of4-4bit-shared2": pruned("resnet8", 4, quantize_epochs=5, k=1, n=4, shared_by=2),
    "resnet20-kernel": pruned("resnet20", 8, k=1, n=4, granularity=pruning.Granularity.KERNEL),
    "resnet20-strided": strided,
    "ds-cnn": depthwise,
    "lenet5-neuron": per_neuron,
}


def keep(name: str, bench: Bench) -> None:
    """Train a network and write it beside a note of its origin."""
    network, origin = NETWORKS[name](bench)
    FOLDER.mkdir(exist_ok=True)
    save(network, FOLDER / f"{name}.json")
    note = {"command": f"python -m benchmarks.engine.networks {name}", **vars(origin)}
    (FOLDER / f"{name}.origin.json").write_text(json.dumps(note, indent=2) + "\n")
    print(f"wrote {FOLDER / name}.json", flush=True)


def kept(name: str) -> tuple[IntegerNetwork, Origin]:
    """Find a network that was kept."""
    note = json.loads((FOLDER / f"{name}.origin.json").read_text())
    del note["command"]
    return load(FOLDER / f"{name}.json"), Origin(**note)


def test_images(
    network: IntegerNetwork, origin: Origin, bench: Bench, count: int | None
) -> tuple[IntArray, IntArray | None]:
    """Input integers of the first `count` test images, or all; and their labels."""
    act = network.input.type
    if origin.data is None:
        rng = np.random.default_rng(0)
        shape = (count or 1000, *network.input.shape)
        return rng.integers(act.low, act.high + 1, shape), None
    data = bench.named(origin.data)
    integers = quantize(
        data.test_images[:count], torch.tensor(origin.input_step), act.low, act.high
    )
    return np.asarray(integers.numpy()), np.asarray(data.test_labels[:count].numpy())


def main() -> None:
    """Train the networks that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.networks")
    parser.add_argument("names", nargs="+", choices=NETWORKS, metavar="NAME")
    add_data_arguments(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names:
        keep(name, bench_of(arguments))


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where data and intermediate results are."""
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10: .npz or folder")
    parser.add_argument("--fashion", type=Path, required=True, help="Fashion-MNIST: .npz or folder")
    parser.add_argument("--weights", type=Path, required=True, help="folder of trained weights")
    parser.add_argument("--work", type=Path, default=Path("out/benchmarks/pruning"))


def bench_of(arguments: argparse.Namespace) -> Bench:
    """Make the workbench of these arguments."""
    return Bench(
        data_path=arguments.data,
        fashion_path=arguments.fashion,
        weights=arguments.weights,
        folder=arguments.work,
    )


if __name__ == "__main__":
    main()
