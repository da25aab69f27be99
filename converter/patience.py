"""Patience with an output that is unavailable for a while: servers restart, others take over."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from itertools import chain, repeat
from typing import TypeVar

from shardio.errors import UnavailableError

T = TypeVar("T")

# The NameNode of HDFS gives new blocks to a DataNode that has died for another 10.5 minutes.
_MINUTES = 15


def patiently(action: Callable[[], T], pause: Callable[[float], None] = time.sleep) -> T:
    """Call `action` until it succeeds, for some minutes after its storage was unavailable first.

    The user is told with a warning, once.
    """
    end = 0.0
    for seconds in chain((1, 2, 4, 8), repeat(15)):
        try:
            return action()
        except UnavailableError as error:
            if not end:
                end = time.monotonic() + 60 * _MINUTES
                warnings.warn(f"{error}; trying again for {_MINUTES} minutes", stacklevel=2)
            if time.monotonic() + seconds > end:
                raise UnavailableError(f"{error} (tried for {_MINUTES} minutes)") from error
        pause(seconds)
    raise AssertionError("unreachable")
