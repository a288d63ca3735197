"""The whole way in Python: train, prune, quantize, lower, plan, generate, verify."""

from pathlib import Path

from systolith.compress import SRSTEPruning, Trainer, compress_model
from systolith.data import load_digits
from systolith.emit import write_design
from systolith.frontend import IntegerModel, lower
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.plan import plan_network
from systolith.prune import all_convolutions_but_first
from systolith.train import Recipe
from systolith.verify import verify

folder, recipe = Path("out/python_api"), Recipe(float_epochs=10, prune_epochs=5, quantize_epochs=3)
data, model = load_digits(), DigitsCNN()
patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(2, 8)))
trainer = Trainer(data=data, recipe=recipe)
quantized = compress_model(model, trainer, [SRSTEPruning(patterns=patterns)])
network, reference = lower(quantized), IntegerModel(quantized)

plan = plan_network(network, multipliers=64)
print(f"{plan.cycles_per_frame} cycles per frame, multipliers {plan.utilization:.1%} busy")
design = write_design(plan, folder / "rtl")

images = reference.quantize_input(data.test_images[:4])
result = verify(design, images, reference.trace(images), workdir=folder / "sim")
result.raise_if_failed()
print(result)
