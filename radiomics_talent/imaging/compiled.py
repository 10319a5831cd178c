"""The one way to compile a loop: Numba, without Python's lock, cached on disk for every process of the machine.

Numba's cache of a function looks at that function's own file alone. So a compiled function calls compiled functions
of its own file only: a change elsewhere would otherwise leave old machine code in use. Arithmetic is IEEE as it is
written: no fast-math and no fused multiply-add, because others' bits are what ours are measured against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., object]")


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
        NumPy gives.
    """
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
