"""Compilation by Numba, cached where a folder can be written."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core import caching

__all__ = ["jit"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def jit(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function when it is first called, and cache the machine code on disk if possible.

    The cache is beside the source or in the user's cache folder. If neither can be written, as in a
    container without a home or on a full disk, each process compiles anew.

    The function allocates no arrays; Numba refuses one that does. Then it need not count references
    to arrays, which took three quarters of the time of the cycle model.
    """
    options: dict[str, Any] = {"_nrt": False}
    dispatcher: Any = njit(function, **options)
    make_cache: Callable[..., Any] = caching.FunctionCache
    with suppress(RuntimeError):  # no folder can be written
        cache = make_cache(function)
        cache.load_overload = _ignore_os_errors(cache.load_overload)
        cache.save_overload = _ignore_os_errors(cache.save_overload)
        dispatcher._cache = cache
    typed: Callable[Arguments, Result] = dispatcher
    return typed


def _ignore_os_errors(access: Callable[..., Any]) -> Callable[..., Any]:
    def attempt(*arguments: Any) -> Any:
        with suppress(OSError):
            return access(*arguments)

    return attempt
