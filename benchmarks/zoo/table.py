"""Tables of the zoo, for the documentation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from systolith.zoo import ZOO, ZooCard, read_cards

__all__ = ["RESULTS", "card_rows", "rtl_rows"]

RESULTS = Path(__file__).parent / "results"
NETWORKS = Path(__file__).parent.parent / "engine" / "networks"


def card_rows() -> Iterator[str]:
    """List the cards, one a row."""
    yield (
        "| network | input | weights | bits, weights / activations | parameters | MACs | "
        "smallest device | cycles per frame | estimated clock | frames/s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, card in read_cards().items():
        clock = "no model" if card.clock_mhz is None else f"{card.clock_mhz:.0f} MHz"
        rate = "" if card.frames_per_second is None else f"{card.frames_per_second:,.0f}"
        yield (
            f"| {name} | {card.input} | {_weights(card)} | {card.weight_bits} / {card.act_bits} | "
            f"{card.parameters:,} | {card.macs:,} | {card.device} | {card.cycles:,} | {clock} | "
            f"{rate} |"
        )


def _weights(card: ZooCard) -> str:
    """Say what the weights are, and the accuracy of a trained network of the same structure."""
    trained = ZOO[card.name].trained
    if not trained:
        return card.weights
    origin = json.loads((NETWORKS / f"{trained}.origin.json").read_text())
    return f"{card.weights}; trained, `benchmarks/engine` has it: {origin['accuracy']:.1%}"


def rtl_rows() -> Iterator[str]:
    """List what was compared, network by network."""
    yield (
        "| network | door | executor | images | outputs per image | cycles in RTL, as predicted | "
        "under random stalls |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name in read_cards():
        row: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
        cycles = row.get("cycles_simulated")
        simulated = "not simulated yet | |"
        if cycles is not None:
            simulated = f"{cycles['none']:,} | {cycles['random']:,} |"
        yield (
            f"| {name} | {row['door']} | {row['executor']} | {row['images']} | "
            f"{row['outputs_per_image']:,} | {simulated}"
        )
