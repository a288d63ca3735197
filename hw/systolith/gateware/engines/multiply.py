"""The engine of a product of two streams."""

from collections.abc import Iterable, Sequence

from amaranth import Module, Value

from systolith.gateware.engines.contents import RequantizedContents
from systolith.gateware.engines.pair import PairEngine
from systolith.gateware.parameters import ParameterMemory
from systolith.gateware.primitives import multiply
from systolith.network import Multiply
from systolith.plan import MultiplyPlan

__all__ = ["MultiplyEngine"]


class MultiplyEngine(PairEngine):
    """Multiply pairs of transfers and requantize the products.

    Golden model: :func:`systolith.network.apply_layer` of a Multiply, bit for bit. Members and
    timing as those of :class:`PairEngine`.
    """

    def __init__(self, plan: MultiplyPlan, layer: Multiply, *, loadable: bool = False) -> None:
        self.plan = plan
        self.contents = RequantizedContents.of(plan, layer, loadable=loadable)
        super().__init__(plan, self.contents, loadable=loadable)

    def combine(
        self, platform: object, m: Module, operands: Sequence[Sequence[Value]]
    ) -> tuple[Iterable[Value], Sequence[ParameterMemory]]:
        """Multiply the differences from the zero points."""
        products = [
            multiply(platform, m, f"multiplier_{lane}", *pair)
            for lane, pair in enumerate(zip(*operands, strict=True))
        ]
        return products, []
