"""A property that is computed when it is first asked for, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")


class MeasuredOnce(Generic[Found]):
    """What ``functools.cached_property`` is, without the lock that Python 3.11 holds for all objects of a class.

    Lesions of a scan are measured in threads, which would wait for each other there; one lesion belongs to one thread.
    """

    def __init__(self, measure: Callable[[Any], Found]) -> None:
        self.measure = measure
        self.__doc__ = measure.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Found: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Found:
        """Measure, and leave the result in the object's own attributes, where Python finds it from then on."""
        if instance is None:
            return self
        found = instance.__dict__[self.measure.__name__] = self.measure(instance)
        return found
