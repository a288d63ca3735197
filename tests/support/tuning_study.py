"""A seeded study as co-tuning would hand it to its page: six layers on a small device."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LAYERS = {
    "conv1": (1, 8),
    "conv2": (8, 16),
    "conv3": (16, 16),
    "conv4": (16, 32),
    "conv5": (32, 32),
    "classes": (512, 10),
}
PATTERNS = {"dense": 1.0, "2 of 4": 0.5, "1 of 4": 0.25}
BITS = (4, 6, 8)
BUDGETS = (32, 64, 96, 128, 192, 256)
OBJECTIVES: tuple[dict[str, Any], ...] = (
    {"name": "accuracy", "direction": "maximize", "unit": "%", "label": "accuracy", "limit": 0.978},
    {"name": "fps", "direction": "maximize", "unit": "frames/s", "label": "frames per second",
     "limit": None},
    {"name": "luts", "direction": "minimize", "unit": "", "label": "LUTs", "limit": 24288},
    {"name": "latency", "direction": "minimize", "unit": "us", "label": "latency", "limit": None},
    {"name": "dsps", "direction": "minimize", "unit": "", "label": "DSPs", "limit": 14},
    {"name": "block_rams", "direction": "minimize", "unit": "", "label": "block RAMs", "limit": 56},
    {"name": "model_bits", "direction": "minimize", "unit": "bit", "label": "size of the model",
     "limit": None},
)  # fmt: skip
CHOICES = [
    *({"name": f"{layer} pattern", "options": list(PATTERNS)} for layer in list(LAYERS)[1:]),
    *({"name": f"{layer} weight bits", "options": list(BITS)} for layer in LAYERS),
    {"name": "multipliers", "options": list(BUDGETS)},
    {"name": "clock", "options": ["80 MHz"]},
]


def tuning_study(
    objectives: int = 3, complete: int = 150, screened: int = 250, seed: int = 0
) -> dict[str, Any]:
    """A study with this many objectives and points, and two baselines if any point is complete."""
    random = np.random.default_rng(seed)
    goals = [dict(objective) for objective in OBJECTIVES[:objectives]]
    points = [_point(random, number, goals) for number in range(complete + screened)]
    for point in points[complete:]:
        point.update(state="screened", epochs=None, layers=[])
        point["values"]["accuracy"] = None
    for point, origin, pattern in zip(
        points[:complete], ("dense", "uniform"), ("dense", "1 of 4"), strict=False
    ):
        choices = {choice["name"]: choice["options"][-1] for choice in CHOICES}
        choices |= {name: pattern for name in choices if name.endswith("pattern")} | {
            "multipliers": 96
        }
        point.update(_designed(random, choices, goals), origin=origin)
    _mark_front(points[:complete], goals)
    return {
        "name": "digits on a 25F",
        "seconds": 1203.4,
        "evaluations": complete,
        "hypervolume": 0.7134 if complete else None,
        "states": {"complete": complete, "screened": screened, "infeasible": 88, "failed": 1},
        "objectives": goals,
        "choices": [dict(choice) for choice in CHOICES],
        "points": points,
        "importance": _importance(random, goals) if complete else {},
        "sensitivity": _sensitivity(random) if complete else [],
        "history": _history(random, complete),
    }


def _point(
    random: np.random.Generator, number: int, goals: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    choices = {choice["name"]: choice["options"][random.integers(len(choice["options"]))]
               for choice in CHOICES}  # fmt: skip
    return {
        "number": number,
        "state": "complete",
        "origin": "search",
        "epochs": int(random.choice([4, 12])),
        "seed": 0,
        "commands": [
            f"systolith tune pick out/digits-tune {number} --output point-{number}.toml",
            f"systolith run point-{number}.toml --output out/point-{number}",
        ],
        **_designed(random, choices, goals),
    }


def _designed(
    random: np.random.Generator, choices: Mapping[str, Any], goals: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Layers and objectives that follow from the choices, more or less as they would."""
    layers = [_layer(random, layer, choices) for layer in LAYERS]
    cycles = max(layer["cycles"] for layer in layers)
    for layer in layers:
        layer["utilization"] = layer["cycles"] / cycles
    lost = sum(0.004 / layer["density"] / layer["weight_bits"] for layer in layers)
    values = {
        "accuracy": round(float(0.9905 - lost + random.normal(0, 0.0015)), 4),
        "fps": 80e6 / cycles,
        "luts": sum(layer["luts"] for layer in layers),
        "latency": sum(layer["cycles"] for layer in layers) / 80,
        "dsps": sum(layer["dsps"] for layer in layers),
        "block_rams": sum(layer["block_rams"] for layer in layers),
        "model_bits": sum(layer.pop("bits") for layer in layers),
    }
    for layer in layers:
        layer["pattern"] = f"{layer['pattern']}".replace(" of ", "-out-of-")
        del layer["density"]
    values = {goal["name"]: values[goal["name"]] for goal in goals}
    feasible = all(
        goal["limit"] is None or (values[goal["name"]] - goal["limit"]) * _sign(goal) <= 0
        for goal in goals
    )
    return {"choices": dict(choices), "layers": layers, "values": values, "feasible": feasible,
            "front": False}  # fmt: skip


def _layer(random: np.random.Generator, layer: str, choices: Mapping[str, Any]) -> dict[str, Any]:
    ins, outs = LAYERS[layer]
    taps, pixels = (1, 1) if layer == "classes" else (9, 64 if layer > "conv3" else 256)
    pattern = choices.get(f"{layer} pattern", "dense")
    bits = choices[f"{layer} weight bits"]
    kept = int(ins * outs * taps * PATTERNS[pattern])
    share = ins * outs * taps * pixels / 1_800_000
    multipliers = 3 + int(choices["multipliers"] * share * random.uniform(0.6, 1))
    return {
        "layer": layer,
        "pattern": pattern,
        "density": PATTERNS[pattern],
        "weight_bits": bits,
        "act_bits": 8,
        "array": f"{max(1, multipliers // 4)}x{min(4, multipliers)}x1",
        "multipliers": multipliers,
        "cycles": -(-kept * pixels // multipliers),
        "luts": 320
        + multipliers * (38 + 6 * bits)
        + (40 * multipliers if pattern != "dense" else 0),
        "dsps": multipliers // 16 if bits > 4 else 0,
        "block_rams": 1 + multipliers // 8 + kept * bits // 18432,
        "bits": kept * bits,
    }


def _sign(goal: Mapping[str, Any]) -> int:
    return -1 if goal["direction"] == "maximize" else 1


def _mark_front(points: Sequence[dict[str, Any]], goals: Sequence[Mapping[str, Any]]) -> None:
    """Feasible points that no feasible point dominates."""
    feasible = [point for point in points if point["feasible"]]
    costs = np.array([[_sign(goal) * point["values"][goal["name"]] for goal in goals]
                      for point in feasible])  # fmt: skip
    for point, cost in zip(feasible, costs, strict=True):
        dominates = (costs <= cost).all(axis=1) & (costs < cost).any(axis=1)
        point["front"] = not dominates.any()


def _importance(random: np.random.Generator, goals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [choice["name"] for choice in CHOICES]
    shares = random.dirichlet(np.full(len(names), 0.4), len(goals))
    return {
        goal["name"]: dict(zip(names, row.round(4).tolist(), strict=True))
        for goal, row in zip(goals, shares, strict=True)
    }


def _sensitivity(random: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {"group": layer, "option": option, "change": round(float(random.normal(mean, 0.004)), 4)}
        for layer in list(LAYERS)[1:]
        for option, mean in {"2 of 4": -0.004, "1 of 4": -0.015, "4 bits": -0.008}.items()
    ]


def _history(random: np.random.Generator, complete: int) -> list[dict[str, Any]]:
    steps = np.arange(10, complete + 1, 10)
    reached = np.maximum.accumulate(
        0.72 * (1 - np.exp(-steps / 35)) + random.normal(0, 0.01, len(steps))
    )
    return [{"evaluations": int(step), "hypervolume": round(float(volume), 4)}
            for step, volume in zip(steps, reached, strict=True)]  # fmt: skip
