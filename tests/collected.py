"""A garbage collection that has happened, also where another thread was collecting."""

from __future__ import annotations

import gc
import threading
import time


def collect() -> None:
    """Collect all garbage: `gc.collect` does nothing while another thread is at it."""
    ended: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2 and threading.get_ident() == me:
            ended.append(me)

    me = threading.get_ident()
    gc.callbacks.append(note)
    try:
        while not ended:
            gc.collect()
            time.sleep(0)
    finally:
        gc.callbacks.remove(note)
