"""The keys of cached stages: settings, source files, the user's code, data and library versions.

What each training stage reads is in :mod:`systolith.stages.keys.training`.
"""

from systolith.stages.keys.closure import Import
from systolith.stages.keys.inputs import Inputs, explain_changes, flatten_keys, join_inputs
from systolith.stages.keys.program import (
    PROGRAMS,
    digest_array,
    digest_file,
    digest_images,
    digest_program,
    hash_programs,
)
from systolith.stages.keys.user_code import (
    call_seeded,
    digest_sources,
    explain_user_error,
    find_callable,
)

__all__ = [
    "PROGRAMS",
    "Import",
    "Inputs",
    "call_seeded",
    "digest_array",
    "digest_file",
    "digest_images",
    "digest_program",
    "digest_sources",
    "explain_changes",
    "explain_user_error",
    "find_callable",
    "flatten_keys",
    "hash_programs",
    "join_inputs",
]
