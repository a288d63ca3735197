"""The backend that hls4ml finds.

hls4ml makes its backends while it is imported itself: what reads its graphs, or takes long to
import, is imported when it is used.
"""

from typing import TYPE_CHECKING, Any

from hls4ml.backends import FPGABackend
from hls4ml.model.flow import register_flow
from hls4ml.model.optimizer import model_optimizer

from systolith.hls4ml_backend.names import NAME

if TYPE_CHECKING:
    from systolith.hls4ml_backend.graph import SystolithGraph

__all__ = ["SystolithBackend"]


class SystolithBackend(FPGABackend):
    """Systolic engines in Verilog, simulated by Verilator, placed by open tools.

    hls4ml's own converters and optimizations come before; then the graph is mapped onto an integer
    network, with which everything else is done.
    """

    def __init__(self) -> None:
        super().__init__(NAME)
        check = register_flow(
            "check", ["systolith:check_configuration"], requires=None, backend=NAME
        )
        layers = register_flow(
            "init_layers", self._get_layer_initializers(), requires=["optimize"], backend=NAME
        )
        types = register_flow(
            "types",
            ["systolith:skip_softmax", "infer_precision_types"],
            requires=[layers],
            backend=NAME,
        )
        mapping = register_flow("map", ["systolith:map_layers"], requires=[types], backend=NAME)
        self._default_flow = register_flow(
            "ip", None, requires=[check, "optimize", layers, types, mapping], backend=NAME
        )
        self._writer_flow = register_flow(
            "write", ["make_stamp", "systolith:write_hls"], requires=["systolith:ip"], backend=NAME
        )

    def get_default_flow(self) -> str:
        """Name the flow of a conversion."""
        return str(self._default_flow)

    def get_writer_flow(self) -> str:
        """Name the flow that writes files."""
        return str(self._writer_flow)

    def create_initial_config(self, **given: Any) -> dict[str, Any]:
        """Take what ``convert_from_...`` is given besides the model; see docs/hls4ml.md.

        Nothing is refused here: all that is wrong is said at once, when there is a graph.
        """
        from systolith.hls4ml_backend.configuration import initial_config

        return initial_config(given)

    @model_optimizer()
    def check_configuration(self, model: Any) -> None:
        """Refuse unknown keys and wrong values before any work."""
        from systolith.hls4ml_backend.configuration import check_configuration

        check_configuration(model)

    @model_optimizer()
    def map_layers(self, model: Any) -> None:
        """Map the optimized graph, or refuse it with all reasons."""
        from systolith.hls4ml_backend.graph import adopt

        adopt(model)

    def compile(self, model: "SystolithGraph") -> None:
        """Write Verilog and compile it with Verilator."""
        model.simulator = None
        model.build_simulator()

    def predict(self, model: "SystolithGraph", x: Any) -> Any:
        """Simulate the Verilog; see :meth:`SystolithGraph.run`."""
        return model.run(x)

    def build(self, model: "SystolithGraph", **options: Any) -> dict[str, Any]:
        """Synthesize, place and route; see :mod:`systolith.hls4ml_backend.synthesis`."""
        from systolith.hls4ml_backend.synthesis import build_report

        return build_report(model, **options)
