"""Properties that are computed once, without a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["cached_property"]

if TYPE_CHECKING:
    from functools import cached_property
else:

    class cached_property:
        """Compute the property of an object once and keep it in its `__dict__`.

        That of functools has a lock until Python 3.12, one for all objects of a class. A process
        that is forked while another thread has it waits for it for ever.
        """

        def __init__(self, function):
            self._function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            # Threads that come at the same time may each compute it; all get the first result.
            return instance.__dict__.setdefault(self._name, self._function(instance))
