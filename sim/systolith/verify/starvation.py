"""Tell a stream that waits for its consumer from one that waits for data."""

from collections.abc import Sequence

import numpy as np

from systolith.bench import StreamRun

__all__ = ["is_starved"]


def is_starved(layer: str, stopped: StreamRun, fed_slowly: Sequence[StreamRun]) -> bool:
    """Whether a stream stopped because too little had come to its producer.

    Where streams fork, one branch stops the other: once the queue of a shortcut is full, nothing
    more comes to the convolutions beside it.

    A producer that waits for ready takes in all that its next transfer depends on. So it is starved
    if a stream before it has had fewer transfers than it ever had at that moment in runs whose
    input came slowly, where each transfer leaves as soon as it can.
    Whether it waits for ready too, only a simulation of its layer alone can show.

    Parameters
    ----------
    layer : str
        Whose output travels over the stream.
    stopped : StreamRun
        Ended because nothing moved any more. Its images may be repeated.
    fed_slowly : sequence of StreamRun
        Of the same design, with whole frames. Without any, no stream is taken for starved.
    """
    names = [trace.port.layer for trace in stopped.traces]
    index = names.index(layer)
    port = stopped.traces[index].port
    frame, transfer = divmod(len(stopped.traces[index].cycles), port.transfers_per_frame)
    for before, trace in enumerate(stopped.traces[:index]):
        in_frame = trace.port.transfers_per_frame
        needed = min(
            (
                int(np.searchsorted(run.traces[before].cycles, cycle, side="right")) - n * in_frame
                for run in fed_slowly
                for n, cycle in enumerate(
                    run.traces[index].cycles[transfer :: port.transfers_per_frame]
                )
            ),
            default=0,
        )
        if len(trace.cycles) < needed + frame * in_frame:
            return True
    return False
