"""A board as a device of EEMBC's runner for MLPerf Tiny."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.emit import Meaning
from systolith.foundation import UsageError
from systolith.host import RUNNER_MODELS, BoardClient, Inference, RunnerDevice
from systolith.network import gives_class
from systolith.plan import NetworkPlan
from systolith.stages.board import arrange_output, check_board, encode_image

__all__ = ["runner_device"]


def runner_device(
    board: BoardClient,
    plan: NetworkPlan,
    meaning: Meaning | None,
    *,
    model: str,
    clock_mhz: float,
    most_runs: int | None = None,
) -> RunnerDevice:
    """Make a device that lets a board compute what the runner sends.

    Parameters
    ----------
    board : BoardClient
    plan : NetworkPlan
    meaning : Meaning or None
        Order of the input's elements, and scales.
    model : str
        Key of :data:`~systolith.host.RUNNER_MODELS`.
    clock_mhz : float
        Of the board.
    most_runs : int, optional
        See :class:`~systolith.host.RunnerDevice`.

    Raises
    ------
    UsageError
        If the model is unknown, or nothing says what the network's integers mean.
    BoardError
        If the board computes another network or does not answer.
    """
    network = plan.network
    if model not in RUNNER_MODELS:
        raise UsageError(f"--model must be one of {', '.join(RUNNER_MODELS)}, got '{model}'")
    if meaning is None:
        raise UsageError(
            "there is no import.json beside the network, which holds its scales: write both with "
            "systolith import FILE -o FOLDER"
        )
    if any(gives_class(network, name) for name in network.outputs):
        raise UsageError("the runner reads probabilities: build without class_on_chip")
    if len(network.outputs) > 1:
        count = len(network.outputs)
        raise UsageError(f"the runner reads one output, the network has {count}")
    port = check_board(board, plan)
    benchmark, act = RUNNER_MODELS[model], network.input.type
    (output,) = network.outputs
    size = prod(network.input.shape)
    moved = np.array(meaning.moved.get("elements", range(size)))
    order = np.array(meaning.orders.get(output, {}).get("elements", range(_size(plan, output))))
    zero = network.tensors[output].type.zero_point
    scale = meaning.output_scales[output]

    def infer(content: bytes) -> Inference:
        values = benchmark.read(content, act, meaning.input_scale)
        image = values[moved.ravel()].reshape(network.input.shape)
        answer = board.classify(encode_image(port, image))
        (result,) = answer.outputs
        flat = arrange_output(result, network.tensors[output].shape).ravel()
        reals: NDArray[Any] = (flat[order.ravel()] - zero) * scale
        return Inference(results=benchmark.results(reals, content), cycles=answer.cycles)

    return RunnerDevice(
        infer,
        input_bytes=size * benchmark.value_bytes,
        model=model,
        clock_mhz=clock_mhz,
        most_runs=most_runs,
    )


def _size(plan: NetworkPlan, output: str) -> int:
    return prod(plan.network.tensors[output].shape)
