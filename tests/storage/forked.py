"""Leaving a block in a process that was forked in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


class StopError(Exception):
    """Raised in a fork."""


def fork(block: AbstractContextManager[Any], within: Callable[[Any, bool], object]) -> str:
    """Enter a block, fork, and leave it in both processes; returns what came of it in the fork.

    The fork calls `within` with True, and then ends; its parent does so after it.
    """
    read, write = os.pipe()
    parent = os.getpid()
    try:
        with block as given:
            if child := os.fork():
                os.waitpid(child, 0)
            within(given, not child)
    except BaseException as error:
        if os.getpid() == parent:
            raise
        os.write(write, type(error).__name__.encode())
    finally:
        if os.getpid() != parent:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as said:
        return said.read().decode()
