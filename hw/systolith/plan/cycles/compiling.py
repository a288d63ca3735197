"""Functions that Numba compiles, also where nothing can be kept on disk."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core import caching

__all__ = ["compiled"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function when it is called first.

    What is compiled is kept beside the source, or in the user's cache. Where neither can be
    written, such as in a container without a home or on a full disk, each process compiles anew.
    """
    dispatcher: Any = njit(function)
    make_cache: Callable[..., Any] = caching.FunctionCache
    with suppress(RuntimeError):  # no folder can be written
        cache = make_cache(function)
        cache.load_overload = _optional(cache.load_overload)
        cache.save_overload = _optional(cache.save_overload)
        dispatcher._cache = cache
    found: Callable[Arguments, Result] = dispatcher
    return found


def _optional(access: Callable[..., Any]) -> Callable[..., Any]:
    """Make an access to the disk that does nothing where it fails."""

    def tried(*arguments: Any) -> Any:
        with suppress(OSError):
            return access(*arguments)

    return tried
