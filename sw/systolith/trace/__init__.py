"""Reading of PyTorch models: recordings of their calls.

:func:`record` runs a model on a few images and returns a graph of its calls, free of side effects.
:func:`read_call` gives each call in terms of one table of operators, with arguments by name.
:func:`stack_inputs` makes a model of one input from a model of several.
:func:`record_for_any_count` and :func:`run_node` run a recording again.
"""

from systolith.trace.calls import Call, qualified_name, read_call, readable_name, title
from systolith.trace.elementwise import Elementwise, is_nonnegative
from systolith.trace.joining import stack_inputs
from systolith.trace.overloads import as_module
from systolith.trace.recording import Recording, record
from systolith.trace.replay import first_difference, record_for_any_count, run_node
from systolith.trace.running import evaluating, first_images

__all__ = [
    "Call",
    "Elementwise",
    "Recording",
    "as_module",
    "evaluating",
    "first_difference",
    "first_images",
    "is_nonnegative",
    "qualified_name",
    "read_call",
    "readable_name",
    "record",
    "record_for_any_count",
    "run_node",
    "stack_inputs",
    "title",
]
