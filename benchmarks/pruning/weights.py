"""SR-STE and DPP: exact k-out-of-n weights and kernels, 8 and 4 bits, ResNet-8 and ResNet-20."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from benchmarks.pruning.workbench import Workbench
from systolith.frontend import IntegerModel, lower
from systolith.network import Granularity, KOutOfN, Pattern, save
from systolith.prune import (
    DPP,
    SRSTE,
    LogitInit,
    MaskSet,
    ScorePruner,
    WeightSparsifier,
    all_convolutions_but_first,
    check_patterns,
    prunable_layers,
)
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare
from systolith.train import evaluate

WEIGHT_DECAY = 1e-4
SWEEP_EPOCHS = {"resnet8": 2, "resnet20": 1}
SWEEP_RATES = {8: 0.001, 4: 0.003}
"""Of quantized training by bits: with normalization folded into the weights, 0.01 may diverge."""
PATTERNS = [
    (2, 4, Granularity.WEIGHT),
    (1, 4, Granularity.WEIGHT),
    (2, 8, Granularity.WEIGHT),
    (4, 16, Granularity.WEIGHT),
    (1, 4, Granularity.KERNEL),
]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    network: str
    method: str
    k: int
    n: int
    bits: tuple[int, ...] = (8, 4)
    granularity: Granularity = Granularity.WEIGHT
    shared_by: int = 1
    prune_epochs: int = 3
    quantize_epochs: int = 1
    learning_rate: float = 0.05
    quantize_rates: Mapping[int, float] = field(default_factory=lambda: {8: 0.01, 4: 0.01})
    seed: int = 0

    @property
    def name(self) -> str:
        kernel = "-kernel" if self.granularity is Granularity.KERNEL else ""
        shared = f"-shared{self.shared_by}" if self.shared_by > 1 else ""
        return f"{self.network}-{self.method}-{self.k}of{self.n}{kernel}{shared}"

    def patterns(self, model: nn.Module) -> dict[str, Pattern]:
        """Every convolution but the first; kernels are k-out-of-n of all a filter's kernels."""
        chosen = {}
        for name in all_convolutions_but_first(model, Pattern()):
            channels = model.get_submodule(name).get_parameter("weight").shape[1]
            select = KOutOfN(self.k, self.n, self.granularity, self.shared_by)
            if self.granularity is Granularity.KERNEL:
                kept = self.k * channels // self.n
                select = KOutOfN(kept, channels, self.granularity, self.shared_by)
            chosen[name] = Pattern(select=select)
        return check_patterns(model, chosen)


def run(case: Case, bench: Workbench) -> Mapping[str, Any]:
    """Prune, then train quantized for each width; accuracy of the last epoch on all test images."""
    data, name = bench.data(case.network), case.name
    model = bench.trained(case.network)
    dense = evaluate(model, data.test_images, data.test_labels)
    patterns = case.patterns(model)
    epochs = bench.epochs(case.prune_epochs)

    def prune() -> Mapping[str, Any]:
        sparsifier = make_sparsifier(case, model, patterns)
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
        )
        masks = sparsifier.masks(model)
        masks.apply_(model)
        return {"model": model.state_dict(), "masks": dict(masks), "patterns": dict(masks.patterns)}

    pruned = bench.stage(name, prune)
    model.load_state_dict(pruned["model"])
    masks = MaskSet(pruned["masks"], pruned["patterns"])
    row: dict[str, Any] = {
        "network": case.network,
        "method": case.method,
        "pattern": f"{case.k}-of-{case.n}",
        "granularity": case.granularity.value,
        "shared_by": case.shared_by,
        "density": masks.density,
        "seed": case.seed,
        "epochs_prune": epochs,
        "epochs_quantize": bench.epochs(case.quantize_epochs),
        "accuracy_dense_float": dense,
        "accuracy_pruned_float": evaluate(model, data.test_images, data.test_labels),
    }
    for bits in case.bits:
        row[f"accuracy_{bits}bit"] = quantized_accuracy(case, bench, model, masks, bits)
    return row


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
        bench.fit(
            name,
            quantized,
            data,
            epochs=bench.epochs(case.quantize_epochs),
            learning_rate=case.quantize_rates[bits],
            warmup=0.05,
            weight_decay=0.0,
            seed=case.seed + 1,
        )
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
    match case.method:
        case "srste":
            return SRSTE(ScorePruner(patterns=patterns))
        case "dpp":
            return DPP(model, patterns, init=LogitInit.MAGNITUDE, seed=case.seed)
        case _:
            raise ValueError(f"method must be srste or dpp, got {case.method}")


def cases() -> list[Case]:
    """All rows: the long ones, and a sweep of few epochs."""
    aims = [
        Case(
            network="resnet8",
            method="srste",
            k=1,
            n=4,
            prune_epochs=36,
            quantize_epochs=4,
        ),
        Case(
            network="resnet8",
            method="srste",
            k=1,
            n=4,
            bits=(4,),
            shared_by=2,
            prune_epochs=60,
            quantize_epochs=25,
        ),
        Case(
            network="resnet20",
            method="srste",
            k=1,
            n=4,
            prune_epochs=18,
            quantize_epochs=2,
            quantize_rates={8: 0.001, 4: 0.01},
        ),
    ]
    taken = {case.name for case in aims}
    sweep = [
        Case(
            network=network,
            method=method,
            k=k,
            n=n,
            granularity=granularity,
            prune_epochs=epochs,
            quantize_rates=SWEEP_RATES,
        )
        for network, epochs in SWEEP_EPOCHS.items()
        for method in ("srste", "dpp")
        for k, n, granularity in PATTERNS
    ]
    return [*aims, *(case for case in sweep if case.name not in taken)]
