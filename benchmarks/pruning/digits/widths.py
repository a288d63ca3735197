"""Learned bit widths against equal widths in all layers, and against random widths of equal cost.

Filters stay, so that only widths differ. Everything trains as long: 12 epochs in floating point or
with learned widths, then 6 quantized.
"""

from collections.abc import Mapping
from functools import partial
from random import Random
from statistics import mean

from torch import nn

from benchmarks.pruning.digits.bench import DigitsBench, Trial
from systolith.quant import DJPQ, LayerBits, QuantConfig, prepare

QUANTIZED_EPOCHS, QUANTIZED_RATE = 6, 5e-4
WEIGHT = 0.03
"""Of bit operations in the loss."""
DRAWS, SLACK = 3, 1.05
"""Random widths to average over; their bit operations are 1 to 1.05 times those of learned ones."""
LEAST, MOST = 2, 8

Bits = Mapping[str, LayerBits]


def learned(bench: DigitsBench) -> Mapping[str, float]:
    """Widths that DJPQ learns; numbers of bit operations are shares of those in 8 bits."""
    model, djpq, full = _learn(bench)
    spread = {bits.weight_bits for bits in djpq.bits().values()}
    share = djpq.bit_operations(model) / full
    judged = _judge(bench, model, QuantConfig(layers=djpq.bits()))
    return {**judged, "bit_operations": share, "different_widths": len(spread)}


def uniform(bench: DigitsBench, weight_bits: int, act_bits: int) -> Mapping[str, float]:
    """Equal widths in all layers."""
    model = bench.trained()
    bench.fit(model)
    djpq = DJPQ(model, (), bench.data.calibration_images)
    full = djpq.bit_operations(model)
    layers = {
        name: LayerBits(weight_bits=weight_bits, act_bits=bits.act_bits and act_bits)
        for name, bits in djpq.bits().items()
    }
    judged = _judge(bench, model, QuantConfig(layers=layers))
    return {**judged, "bit_operations": _count(djpq, model, layers) / full}


def drawn(bench: DigitsBench) -> Mapping[str, float]:
    """Mean over random widths with as many bit operations as the learned ones, or slightly more."""
    model, djpq, full = _learn(bench)
    wanted = djpq.bit_operations(model)
    trained = bench.trained()
    bench.fit(trained)
    random = Random(bench.seed)
    rows: list[Mapping[str, float]] = []
    while len(rows) < DRAWS:
        layers = {
            name: LayerBits(
                weight_bits=random.randint(LEAST, MOST),
                act_bits=bits.act_bits and random.randint(LEAST, MOST),
            )
            for name, bits in djpq.bits().items()
        }
        count = _count(djpq, model, layers)
        if wanted <= count <= SLACK * wanted:
            judged = _judge(bench, trained, QuantConfig(layers=layers))
            rows.append({**judged, "bit_operations": count / full})
    return {name: mean(row[name] for row in rows) for name in rows[0]}


def _learn(bench: DigitsBench) -> tuple[nn.Module, DJPQ, float]:
    model = bench.trained()
    images = bench.data.calibration_images
    djpq = DJPQ(model, (), images, bit_operations=WEIGHT, seed=bench.seed)
    full = djpq.bit_operations(model)
    bench.fit(model, sparsifier=djpq)
    return model, djpq, full


def _count(djpq: DJPQ, model: nn.Module, layers: Bits) -> float:
    """Count the bit operations with other widths, which replace the learned ones."""
    for name, bits in layers.items():
        djpq.weights[name].free_bits.detach().fill_(float(bits.weight_bits or MOST))
        if name in djpq.acts:
            djpq.acts[name].free_bits.detach().fill_(float(bits.act_bits or MOST))
    return djpq.bit_operations(model)


def _judge(bench: DigitsBench, model: nn.Module, config: QuantConfig) -> dict[str, float]:
    quantized = prepare(model, bench.data.calibration_images, config)
    bench.fit(quantized, epochs=QUANTIZED_EPOCHS, learning_rate=QUANTIZED_RATE, weight_decay=0.0)
    return bench.judge(quantized)


TRIALS: Mapping[str, Trial] = {
    "djpq": learned,
    "random": drawn,
    "w4a4": partial(uniform, weight_bits=4, act_bits=4),
    "w3a3": partial(uniform, weight_bits=3, act_bits=3),
}
