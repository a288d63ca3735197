"""Find the first value of a stream that differs from the reference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.emit import Design, StreamPort
from systolith.network import IntArray

__all__ = ["Mismatch", "compare", "first_mismatch", "reference_problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first value of a layer that differs from the reference.

    Parameters
    ----------
    layer : str
        Layer with the wrong output.
    image, channel : int
        Counted from 0.
    row, column : int, optional
        None for a vector.
    cycle : int, optional
        Cycle of the transfer; 0 is the first rising clock edge after reset. None if unknown.
    expected, got : int
        Value of the reference and of the design.
    wrong_values : int
        Wrong values of the layer over all images.
    """

    layer: str
    image: int
    channel: int
    row: int | None
    column: int | None
    cycle: int | None
    expected: int
    got: int
    wrong_values: int

    def __str__(self) -> str:
        where = f"layer '{self.layer}', image {self.image}, channel {self.channel}"
        if self.row is not None:
            where += f", row {self.row}, column {self.column}"
        if self.cycle is not None:
            where += f", at cycle {self.cycle}"
        return f"{where}: expected {self.expected}, got {self.got}"


def first_mismatch(
    port: StreamPort, got: IntArray, expected: IntArray, cycles: IntArray | None = None
) -> Mismatch | None:
    """Find the first wrong value in the order of transfers, or None.

    Parameters
    ----------
    port : StreamPort
        The stream.
    got : array of int, shape (transfers, lanes)
        Transfers, which may end early. Those beyond the expected number are ignored.
    expected : array of int, shape (N, *port.tensor.shape)
        The reference.
    cycles : array of int, shape (transfers,), optional
        Cycle of each transfer.
    """
    count = min(len(got), len(expected) * port.transfers_per_frame)
    wanted = port.to_transfers(expected)[:count]
    used = port.to_transfers(np.ones((1, *port.tensor.shape), dtype=np.int64)).astype(bool)
    wrong = got[:count] != wanted
    wrong &= np.resize(used, wrong.shape)  # lanes beyond the last channel carry no meaning
    if not wrong.any():
        return None
    transfer, lane = (int(index) for index in np.argwhere(wrong)[0])
    channels, _, width = port.image_shape
    image, within = divmod(transfer, port.transfers_per_frame)
    pixel, part = divmod(within, -(-channels // port.lanes))
    row, column = divmod(pixel, width)
    vector = len(port.tensor.shape) == 1 and port.flattened is None
    return Mismatch(
        layer=port.layer,
        image=image,
        channel=part * port.lanes + lane,
        row=None if vector else row,
        column=None if vector else column,
        cycle=None if cycles is None else int(cycles[transfer]),
        expected=int(wanted[transfer, lane]),
        got=int(got[transfer, lane]),
        wrong_values=int(wrong.sum()),
    )


def compare(
    design: Design, outputs: Sequence[IntArray], reference: Mapping[str, IntArray]
) -> Mismatch | None:
    """Compare outputs of a bulk simulation with the reference, by equality.

    Parameters
    ----------
    design : Design
        The simulated design.
    outputs : sequence of array of int, shape (N, *port.tensor.shape)
        Values of each of ``design.outputs`` from :meth:`systolith.bench.NativeModel.run`.
    reference : mapping of str to array of int
        By layer name; only the layers of ``design.outputs`` are read.

    Returns
    -------
    Mismatch or None
        The first wrong value, in the order of transfers, of the first wrong output, without its
        cycle; None if all are equal.

    Raises
    ------
    ValueError
        If the reference lacks the layer or has another shape.
    """
    problems = list(reference_problems(design.outputs, reference, len(outputs[0])))
    if problems:
        raise ValueError("; ".join(problems))
    mismatches = (
        first_mismatch(port, port.to_transfers(values), reference[port.layer])
        for port, values in zip(design.outputs, outputs, strict=True)
    )
    return next((mismatch for mismatch in mismatches if mismatch is not None), None)


def reference_problems(
    ports: Sequence[StreamPort], reference: Mapping[str, IntArray], count: int
) -> Iterator[str]:
    """List why the streams and the reference of `count` images do not fit together."""
    for port in ports:
        shape = (count, *port.tensor.shape)
        if port.layer not in reference:
            yield f"the reference lacks layer '{port.layer}', whose stream is to be compared"
        elif reference[port.layer].dtype.kind not in "iu":
            given = reference[port.layer].dtype
            yield f"layer '{port.layer}': the reference must be integers, got {given}"
        elif reference[port.layer].shape != shape:
            yield (
                f"layer '{port.layer}': the reference must have shape {shape}, "
                f"got {reference[port.layer].shape}"
            )
