"""All operators that can be imported, with their handlers and supported variants."""

from collections.abc import Mapping

from systolith.exchange.file.loading import CHANNELS_LAST_DOMAIN
from systolith.exchange.file.model_file import Node
from systolith.exchange.nodes.adapters import adapt_channels_last
from systolith.exchange.nodes.declarations import OnnxOperator
from systolith.exchange.nodes.tables.computing import COMPUTING
from systolith.exchange.nodes.tables.functions import FUNCTIONS
from systolith.exchange.nodes.tables.moving import MOVING
from systolith.exchange.nodes.tables.quantizing import QUANTIZING

__all__ = ["OPERATORS", "operator_of", "operator_rows"]

OPERATORS: Mapping[str, OnnxOperator] = {**COMPUTING, **MOVING, **QUANTIZING, **FUNCTIONS}


def _channels_last_operator(name: str) -> OnnxOperator:
    standard = OPERATORS[name]
    return OnnxOperator(
        adapt_channels_last(standard.run),
        standard.becomes,
        f"QONNX's, channels last: {standard.limits}",
        standard.inputs,
        standard.attributes,
    )


CHANNELS_LAST: Mapping[str, OnnxOperator] = {
    name: _channels_last_operator(name) for name in ("BatchNormalization", "Conv", "MaxPool")
}


def operator_of(node: Node) -> OnnxOperator | None:
    """Find the operator of a node; None if it is not supported."""
    return (CHANNELS_LAST if node.domain == CHANNELS_LAST_DOMAIN else OPERATORS).get(node.op)


def operator_rows() -> list[str]:
    """Give the lines of the table of operators, for the documentation."""
    rows = ["| operator | becomes | supported |", "|---|---|---|"]
    for name, operator in sorted(OPERATORS.items()):
        rows.append(f"| {name} | {operator.becomes} | {operator.limits} |")
    return rows
