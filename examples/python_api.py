"""The whole way in Python: train, prune, quantize, lower, plan, generate, verify."""

from pathlib import Path

from systolith.data import load_digits
from systolith.emit import write_design
from systolith.frontend import IntegerModel, lower
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.plan import NetworkPlan, plan_network
from systolith.prune import all_convolutions_but_first
from systolith.train import Recipe, train_pruned_quantized
from systolith.verify import verify


def build_accelerator(folder: Path, recipe: Recipe) -> NetworkPlan:
    """Write a verified accelerator for handwritten digits to `folder`."""
    data, model = load_digits(), DigitsCNN()
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(2, 8)))
    quantized = train_pruned_quantized(model, data, patterns, recipe=recipe)
    network, reference = lower(quantized), IntegerModel(quantized)

    plan = plan_network(network, multipliers=64)
    print(f"{plan.cycles_per_frame} cycles per frame, multipliers {plan.utilization:.1%} busy")
    design = write_design(plan, folder / "rtl")

    images = reference.quantize_input(data.test_images[:4])
    result = verify(design, images, reference.trace(images), workdir=folder / "build")
    result.raise_if_failed()
    print(result)
    return plan


if __name__ == "__main__":
    build_accelerator(Path("out/python_api"), Recipe())
