"""Rankings of all filters of a network against the loss that each one's absence costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pruning.workbench import Workbench
from systolith.prune import (
    ChannelGroup,
    EvaluationSplit,
    FilterScore,
    LinearFilterEnsemble,
    find_channel_groups,
    score_filters,
    taylor_scores,
)
from systolith.prune.search import FilterLosses, GateEvaluator

NETWORK = "resnet20"
TRUE_IMAGES, IMAGES, BATCH = 1000, 160, 64
SEED = 0
ENSEMBLES: Mapping[str, LinearFilterEnsemble] = {
    "lfe": LinearFilterEnsemble(per_unit=3.0),
    "lfe, losses": LinearFilterEnsemble(per_unit=3.0, log=False),
    "lfe, keep 0.9, ridge 1, N = F": LinearFilterEnsemble(
        keep=0.9, per_unit=1.0, ridge=1.0, log=False
    ),
}


def run(bench: Workbench) -> Mapping[str, Any]:
    """Rank on the first of 1,000 test images; the truth is measured on all of them."""
    data, model = bench.data(NETWORK), bench.trained(NETWORK)
    images, labels = data.test_images[:TRUE_IMAGES], data.test_labels[:TRUE_IMAGES]
    groups = [group for group in find_channel_groups(model, images[:2]) if group.removable]
    truth = bench.stage("ranking-truth", lambda: {"costs": _costs(model, groups, images, labels)})
    rows: dict[str, Mapping[str, float]] = {}
    for count in (IMAGES, TRUE_IMAGES):
        batches = zip(images[:count].split(BATCH), labels[:count].split(BATCH), strict=True)
        taylor = taylor_scores(model, groups, batches)
        rows[f"taylor, {count} images"] = _row(_joined(taylor, groups), truth["costs"])
    l1 = score_filters(model, groups, FilterScore.L1)
    rows["l1"] = _row(_joined(l1, groups), truth["costs"])
    split = _split(images[:IMAGES], labels[:IMAGES])
    kept = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    evaluate = _remember(GateEvaluator(model, groups, split))
    for name, ensemble in ENSEMBLES.items():
        fitted = ensemble.scores(evaluate, kept, SEED)
        rows[f"{name}, {IMAGES} images"] = {
            **_row(_joined(fitted, groups), truth["costs"]),
            "held_out_r2": round(fitted.held_out, 3),
            "median_loss": round(fitted.median_loss, 3),
        }
        print(rows, flush=True)
    return {
        "network": NETWORK,
        "units": sum(group.size for group in groups),
        "images_truth": TRUE_IMAGES,
        "seed": SEED,
        "rows": rows,
    }


def _remember(evaluate: GateEvaluator) -> FilterLosses:
    """Evaluate equal masks once: two ensembles differ only in what they fit."""
    known: dict[bytes, Tensor] = {}

    def losses(masks: Mapping[str, Tensor]) -> Tensor:
        key = b"".join(mask.numpy().tobytes() for mask in masks.values())
        if key not in known:
            known[key] = evaluate(masks)
        return known[key]

    return losses


def _split(images: Tensor, labels: Tensor) -> EvaluationSplit:
    return EvaluationSplit(images=images, labels=labels, dtype=torch.bfloat16)


def _costs(
    model: nn.Module, groups: Sequence[ChannelGroup], images: Tensor, labels: Tensor
) -> Tensor:
    evaluate = GateEvaluator(model, groups, _split(images, labels))
    return torch.cat(
        [evaluate({group.name: ~torch.eye(group.size, dtype=torch.bool)}) for group in groups]
    )


def _joined(scores: Mapping[str, Tensor], groups: Sequence[ChannelGroup]) -> Tensor:
    return torch.cat([scores[group.name].double() for group in groups])


def _row(scores: Tensor, costs: Tensor) -> dict[str, float]:
    ranks = torch.stack([scores.argsort().argsort(), costs.argsort().argsort()]).double()
    return {"rank_correlation": round(float(torch.corrcoef(ranks)[0, 1]), 3)}
