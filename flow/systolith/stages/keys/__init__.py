"""The keys of cached stages: settings, source files, the user's code, data and library versions.

What each training stage reads is in :mod:`systolith.stages.keys.training`.
"""

from systolith.stages.keys.closure import Import
from systolith.stages.keys.inputs import Inputs, explain_changes, flatten_keys, join_inputs
from systolith.stages.keys.program import (
    PROGRAMS,
    array_digest,
    digest_of,
    image_inputs,
    program_digest,
    program_of,
)
from systolith.stages.keys.user_code import (
    call_seeded,
    explain_user_error,
    find_callable,
    sources_of,
)

__all__ = [
    "PROGRAMS",
    "Import",
    "Inputs",
    "array_digest",
    "call_seeded",
    "digest_of",
    "explain_changes",
    "explain_user_error",
    "find_callable",
    "flatten_keys",
    "image_inputs",
    "join_inputs",
    "program_digest",
    "program_of",
    "sources_of",
]
