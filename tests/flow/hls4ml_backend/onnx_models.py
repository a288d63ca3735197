"""A QONNX graph: quantizers are nodes, weights are floats behind them."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.util.cleanup import cleanup_model


def conv_and_dense(seed: int) -> Any:
    """Convolution, ReLU, flattening and dense layer, all powers of two."""
    rng = np.random.default_rng(seed)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))
        return name

    def quant(source: str, bits: int, scale: float, *, signed: bool, mode: str) -> str:
        out = f"{source}_q"
        settings = [
            constant(f"{out}_scale", scale),
            constant(f"{out}_zero", 0.0),
            constant(f"{out}_bits", float(bits)),
        ]
        nodes.append(
            helper.make_node(
                "Quant",
                [source, *settings],
                [out],
                name=f"{out}_node",
                domain="qonnx.custom_op.general",
                signed=int(signed),
                narrow=0,
                rounding_mode=mode,
            )
        )
        return out

    x = quant("x", 8, 2.0**-5, signed=True, mode="FLOOR")
    kernel = quant(
        constant("kernel", rng.normal(size=(4, 2, 3, 3))), 4, 2.0**-2, signed=True, mode="ROUND"
    )
    shape = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1]}
    nodes.append(helper.make_node("Conv", [x, kernel], ["c"], name="conv", group=1, **shape))
    nodes.append(helper.make_node("Relu", ["c"], ["r"], name="relu"))
    hidden = quant("r", 6, 2.0**-3, signed=False, mode="FLOOR")
    nodes.append(helper.make_node("Flatten", [hidden], ["f"], name="flatten"))
    matrix = quant(
        constant("matrix", rng.normal(size=(4 * 6 * 5, 3))), 5, 2.0**-3, signed=True, mode="ROUND"
    )
    nodes.append(helper.make_node("MatMul", ["f", matrix], ["m"], name="dense"))
    out = quant("m", 10, 2.0**-4, signed=True, mode="FLOOR")
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 6, 5))],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, (1, 3))],
        constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    model = cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=opsets)))
    model = model.transform(ConvertToChannelsLastAndClean(make_input_channels_last=True))
    return cleanup_model(model.transform(GemmToMatMul()))
