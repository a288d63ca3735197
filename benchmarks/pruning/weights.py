"""Exact masks of weights on CIFAR-10: methods at equal epochs, and the longest training.

A row prunes and trains a published network in float, and then trains it quantized for each width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from torch import nn

from benchmarks.pruning.workbench import Workbench, log
from systolith.frontend import IntegerModel, lower
from systolith.network import Granularity, KOutOfN, Pattern, save
from systolith.prune import (
    DPP,
    SRSTE,
    FrozenMasks,
    LogitInit,
    MaskSet,
    ScorePruner,
    WeightSparsifier,
    all_convolutions_but_first,
    check_patterns,
    prunable_layers,
)
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare, reconstruct_
from systolith.train import EpochProgress, evaluate

WEIGHT_DECAY = 1e-4
COMPARED_EPOCHS = 2
"""Of sparse training, where methods are compared."""
METHODS = ("magnitude", "srste", "dpp")
PATTERNS = (
    (1, 4, Granularity.WEIGHT),
    (2, 8, Granularity.WEIGHT),
    (1, 16, Granularity.WEIGHT),
    (1, 4, Granularity.KERNEL),
)
SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table.

    Parameters
    ----------
    method : str
        "dense", or one of METHODS; "magnitude" freezes its masks before training.
    bits : tuple of int
        Widths of weights; activations have 8 bits.
    prune_epochs, quantize_epochs : int
        Epochs of sparse float training, and of quantized training for each width; 0 rounds by
        reconstruction, without training.
    teacher : str, optional
        Network whose logits both trainings are distilled from. Its logits have larger gradients
        than labels: at a `quantize_rate` of 0.01 convolutions, which have no batch norms then,
        diverge.
    ema : float, optional
        Decay of the averaged weights.
    """

    network: str
    method: str
    k: int = 1
    n: int = 1
    granularity: Granularity = Granularity.WEIGHT
    shared_by: int = 1
    bits: tuple[int, ...] = (4,)
    prune_epochs: int = COMPARED_EPOCHS
    quantize_epochs: int = 1
    learning_rate: float = 0.05
    quantize_rate: float = 0.003
    teacher: str | None = None
    ema: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Name of the row and of its result file."""
        kernel = "-kernel" if self.granularity is Granularity.KERNEL else ""
        shared = f"-shared{self.shared_by}" if self.shared_by > 1 else ""
        pattern = "" if self.method == "dense" else f"-{self.k}of{self.n}{kernel}{shared}"
        teacher = "" if self.teacher is None else f"-from-{self.teacher}"
        if self.teacher is None and self.prune_epochs != COMPARED_EPOCHS:
            teacher = f"-{self.prune_epochs}epochs"
        seed = f"-seed{self.seed}" if self.seed else ""
        return f"{self.network}-{self.method}{pattern}{teacher}{seed}"

    def patterns(self, model: nn.Module) -> dict[str, Pattern]:
        """Every convolution but the first; kernels are k-out-of-n of all a filter's kernels."""
        chosen: dict[str, Pattern] = {}
        if self.method == "dense":
            return chosen
        for name in all_convolutions_but_first(model, Pattern()):
            channels = model.get_submodule(name).get_parameter("weight").shape[1]
            select = KOutOfN(self.k, self.n, self.granularity, self.shared_by)
            if self.granularity is Granularity.KERNEL:
                kept = self.k * channels // self.n
                select = KOutOfN(kept, channels, self.granularity, self.shared_by)
            chosen[name] = Pattern(select=select)
        return check_patterns(model, chosen)


def run(case: Case, bench: Workbench) -> Mapping[str, Any]:
    """Prune, then train quantized for each width; accuracy of the last epoch on all test images.

    Drawn masks have a curve of confidence and diversity: one entry per epoch since the last start.
    """
    data, name = bench.data(case.network), case.name
    model = bench.trained(case.network)
    dense = evaluate(model, data.test_images, data.test_labels)
    patterns = case.patterns(model)
    epochs = bench.epochs(case.prune_epochs)

    def prune() -> Mapping[str, Any]:
        sparsifier = make_sparsifier(case, model, patterns)
        before = sparsifier.masks(model)
        curve: list[Mapping[str, float]] = []

        def note(progress: EpochProgress) -> None:
            log(progress)
            if progress.epoch_done and isinstance(sparsifier, DPP):
                curve.append({"epoch": progress.epoch, **mean_statistics(sparsifier)})

        bench.fit(
            f"{name}-prune",
            model,
            data,
            epochs=epochs,
            learning_rate=case.learning_rate,
            warmup=0.05,
            weight_decay=WEIGHT_DECAY,
            sparsifier=sparsifier,
            seed=case.seed,
            teacher=bench.teacher(case.teacher, case.network),
            ema=case.ema,
            progress=note,
        )
        masks = sparsifier.masks(model)
        masks.apply_(model)
        moved = sum(int((masks[key] & ~before[key]).sum()) for key in masks)
        kept = sum(int(mask.sum()) for mask in masks.values())
        return {
            "model": model.state_dict(),
            "masks": dict(masks),
            "patterns": dict(masks.patterns),
            "moved": moved / max(kept, 1),
            "curve": curve,
        }

    pruned = bench.stage(name, prune)
    model.load_state_dict(pruned["model"])
    masks = MaskSet(pruned["masks"], pruned["patterns"])
    row: dict[str, Any] = {
        "network": case.network,
        "method": case.method,
        "pattern": "dense" if case.method == "dense" else f"{case.k}-of-{case.n}",
        "granularity": case.granularity.value,
        "shared_by": case.shared_by,
        "density": masks.density,
        "teacher": case.teacher,
        "seed": case.seed,
        "epochs_prune": epochs,
        "epochs_quantize": case.quantize_epochs and bench.epochs(case.quantize_epochs),
        "moved": pruned["moved"],
        "curve": pruned.get("curve", []),
        "accuracy_dense_float": dense,
        "accuracy_pruned_float": evaluate(model, data.test_images, data.test_labels),
    }
    for bits in case.bits:
        row[f"accuracy_{bits}bit"] = quantized_accuracy(case, bench, model, masks, bits)
    return {**row, "seconds": dict(bench.seconds)}


def mean_statistics(dpp: DPP) -> dict[str, float]:
    """Confidence and diversity of the masks, means over layers, 0..1."""
    layers = dpp.statistics().values()
    return {
        "confidence": mean(layer.confidence for layer in layers),
        "diversity": mean(layer.diversity for layer in layers),
    }


def quantized_accuracy(
    case: Case, bench: Workbench, model: nn.Module, masks: MaskSet, bits: int
) -> float:
    """Train with `bits`-bit weights and 8-bit activations; accuracy of the integers.

    The first and the last layer have 8-bit weights, as is usual. The integer network is kept in the
    work folder.
    """
    data, name = bench.data(case.network), f"{case.name}-{bits}bit"
    first, *_, last = prunable_layers(model)
    config = QuantConfig(
        weight_bits=bits,
        act_bits=8,
        layers={first: LayerBits(weight_bits=8), last: LayerBits(weight_bits=8)},
        input_signed=bool(data.train_images.min() < 0),
    )

    def train() -> Mapping[str, Any]:
        quantized = prepare(model, data.calibration_images, config, masks)
        if case.quantize_epochs:
            bench.fit(
                name,
                quantized,
                data,
                epochs=bench.epochs(case.quantize_epochs),
                learning_rate=case.quantize_rate,
                warmup=0.05,
                weight_decay=0.0,
                seed=case.seed + 1,
                teacher=bench.teacher(case.teacher, case.network),
                ema=case.ema,
            )
        else:
            reconstruct_(quantized, data.calibration_images)
        integers = lower(quantized, name=name.replace("-", "_"))
        save(integers, bench.folder / "networks" / f"{name}.json")
        return {
            "accuracy": integer_accuracy(quantized, bench, case.network),
            "input_step": float(quantized.input_quantizer.step),
        }

    return float(bench.stage(name, train)["accuracy"])


def integer_accuracy(quantized: QuantizedModel, bench: Workbench, network: str) -> float:
    """Share of all test images that the PyTorch model in integer mode classifies right."""
    data = bench.data(network)
    return evaluate(IntegerModel(quantized).logits, data.test_images, data.test_labels)


def make_sparsifier(
    case: Case, model: nn.Module, patterns: Mapping[str, Pattern]
) -> WeightSparsifier:
    """Make the method of a case."""
    match case.method:
        case "dense" | "magnitude":
            return FrozenMasks(ScorePruner(patterns=patterns).masks(model))
        case "srste":
            return SRSTE(ScorePruner(patterns=patterns))
        case "dpp":
            return DPP(model, patterns, init=LogitInit.MAGNITUDE, seed=case.seed)
        case _:
            raise ValueError(f"method must be dense or one of {METHODS}, got {case.method}")


def compared() -> list[Case]:
    """ResNet-20, each method on each pattern: equal epochs, three seeds."""
    return [
        Case(network="resnet20", method=method, k=k, n=n, granularity=granularity, seed=seed)
        for seed in SEEDS
        for k, n, granularity in PATTERNS
        for method in METHODS
    ]


def labelled() -> list[Case]:
    """Long training on labels only."""
    srste = Case(network="resnet8", method="srste", k=1, n=4, quantize_rate=0.01)
    return [
        replace(srste, prune_epochs=36, quantize_epochs=4, bits=(8, 4)),
        replace(srste, shared_by=2, prune_epochs=60, quantize_epochs=25),
        replace(srste, network="resnet20", prune_epochs=18, quantize_epochs=2),
    ]


def distilled() -> list[Case]:
    """Long training with a teacher: the networks that are built."""
    resnet8 = Case(
        network="resnet8",
        method="dense",
        teacher="resnet20",
        learning_rate=0.03,
        quantize_rate=0.0005,
    )
    sparse = replace(resnet8, method="dpp", k=1, n=4)
    resnet20 = replace(sparse, network="resnet20", teacher="resnet56")
    return [
        replace(sparse, shared_by=2, prune_epochs=60, quantize_epochs=10),
        replace(sparse, prune_epochs=60, quantize_epochs=5, bits=(8,)),
        replace(resnet8, prune_epochs=40, quantize_epochs=3, bits=(8,)),
        replace(resnet20, prune_epochs=24, quantize_epochs=3, bits=(8, 4)),
    ]


def cases() -> list[Case]:
    """All rows."""
    return [*compared(), *labelled(), *distilled()]
