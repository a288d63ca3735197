"""The host side of a board's serial line, and the device side of EEMBC's runner.

:class:`BoardClient` sends requests and accepts only complete answers. :class:`RunnerDevice` answers
the runner of MLPerf Tiny, with inferences of a board.
"""

from systolith.host.client import BoardClient, Classification, SerialLine, open_line
from systolith.host.probabilities import Guess, compute_probabilities, rank_classes
from systolith.host.protocol import Answer, BoardError, Identity, OutputFormat, decode, encode
from systolith.host.runner_device import Inference, RunnerDevice
from systolith.host.runner_models import RUNNER_MODELS, InputForm, RunnerModel
from systolith.host.terminal_line import PseudoTerminal, open_terminal

__all__ = [
    "RUNNER_MODELS",
    "Answer",
    "BoardClient",
    "BoardError",
    "Classification",
    "Guess",
    "Identity",
    "Inference",
    "InputForm",
    "OutputFormat",
    "PseudoTerminal",
    "RunnerDevice",
    "RunnerModel",
    "SerialLine",
    "compute_probabilities",
    "decode",
    "encode",
    "open_line",
    "open_terminal",
    "rank_classes",
]
