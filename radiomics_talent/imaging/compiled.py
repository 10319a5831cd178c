"""The one way to compile a loop: Numba, without Python's lock, cached on disk for every process of the machine.

Numba's cache of a function looks at that function's own file alone. So a compiled function calls compiled functions
of its own file only: a change elsewhere would otherwise leave old machine code in use. Arithmetic is IEEE as it is
written: no fast-math and no fused multiply-add, because others' bits are what ours are measured against.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., object]")

_kernels: list[Any] = []


def kernel(function: Function) -> Function:
    """Compile a function on its first call for the types of that call, and keep the machine code on disk.

    Parameters
    ----------
    function : callable
        Loops over arrays and numbers; called with the same types everywhere, so that it is compiled once.

    Returns
    -------
    callable
        Of the same arguments. It holds no lock, so threads run it side by side; a division by zero gives what
        NumPy gives. Where no folder of Numba's can be written, the machine code lives as long as the process.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    _kernels.append(compiled)
    return cast("Function", compiled)


def compiled_files() -> tuple[Path, ...]:
    """Return the files in which the machine code of every imported kernel is listed, where it is kept on disk."""
    found: set[Path] = set()
    for one in _kernels:
        folder = one.stats.cache_path
        if folder is not None and one.signatures:
            found.update(Path(folder).glob(f"*{one.py_func.__qualname__}-{one.py_func.__code__.co_firstlineno}.*.nbi"))
    return tuple(sorted(found))


def n_compiled() -> int:
    """Return how many functions this process has compiled because their machine code was not on disk."""
    return sum(sum(one.stats.cache_misses.values()) for one in _kernels)
