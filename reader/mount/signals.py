"""Ctrl-C, SIGTERM and SIGHUP end a mount, whatever its threads are doing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from shardio.errors import MountError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PAUSE = 0.1
# A read that waits for a server that does not answer is not waited for.
_GRACE_SECONDS = 2.0


def serve_until_signal(
    serve: Callable[[], object], unmount: Callable[[], object], at_end: Callable[[], object]
) -> None:
    """Call `serve` until it ends by itself; at a signal, call `unmount`, which lets it end.

    `at_end` is called last, unless `serve` raises, whose error is raised here.

    FUSE's own handling of signals ends only when all reads have, and not at all where a thread of
    another library is handed the signal. So FUSE has a thread of its own here, and the main thread
    waits. Where `serve` does not end soon, the process does: the programs that still have files
    open get errors from then on.
    """
    ended = threading.Event()
    errors: list[BaseException] = []
    noted: list[int] = []

    def work() -> None:
        try:
            serve()
        except BaseException as error:
            errors.append(error)
        ended.set()

    before = {number: signal.signal(number, lambda n, _: noted.append(n)) for number in _ENDING}
    threading.Thread(target=work, name="shardio-fuse", daemon=True).start()
    while not ended.wait(_PAUSE) and not noted:
        pass
    end = time.monotonic() + _GRACE_SECONDS
    while not ended.is_set():
        with suppress(MountError):  # not mounted yet, or not any more
            unmount()
        if time.monotonic() > end:
            at_end()
            os._exit(0)
        ended.wait(_PAUSE)
    for number, handler in before.items():
        signal.signal(number, handler)
    if errors:
        raise errors[0]
    at_end()
