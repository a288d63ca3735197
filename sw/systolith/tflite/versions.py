"""Versions of operators that the reference kernels are listed with."""

import struct

import tflite as schema

__all__ = ["list_versions"]

LISTED_VERSIONS = {schema.BuiltinOperator.TILE: 2}
"""Greatest version of an operator that the reference kernels are listed with.

The kernel of TILE copies int8, for which version 3 stands, but is listed up to version 2 only.
"""
VERSION_FIELD = 8
"""Place of the version among the fields of an operator code."""


def list_versions(content: bytes) -> bytes:
    """Give a file with versions of operators that the reference kernels are listed with.

    The kernels themselves, and so the values, are the same.
    """
    model = schema.Model.GetRootAs(content, 0)
    changed = bytearray(content)
    for number in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(number)
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        listed = LISTED_VERSIONS.get(kind)
        if listed is not None and code.Version() > listed:
            place = code._tab.Pos + code._tab.Offset(VERSION_FIELD)
            struct.pack_into("<i", changed, place, listed)
    return bytes(changed)
