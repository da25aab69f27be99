"""What runs in a worker process: one job after the other, as long as anybody wants the results."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from converter.engines.work_state import WorkState
from converter.shards.shard import ShardResult, convert_shard
from shardio.heap import use_one_heap

# At the end of a run that went well nothing is lost by waiting.
END_SECONDS = 10.0
_WATCH_SECONDS = 0.5


def work(
    pipe: Connection[Any, Any], state: WorkState, number: int, environment: dict[str, str]
) -> None:
    """Take jobs from a pipe until it is closed; send back their results or errors.

    The first thing that is sent is None: this process can work.
    """
    # The fork server has the environment of an earlier moment, maybe of an earlier conversion.
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    use_one_heap()
    # Ctrl-C reaches the whole group; the parent stops the workers, which then clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_in_time, args=(state,), daemon=True).start()
    state.claim(number)
    answer: ShardResult | BaseException | None = None
    try:
        while True:
            pipe.send(answer)
            job = pipe.recv()
            try:
                answer = convert_shard(job, state.image_done, state.pause)
            except BaseException as error:
                error.add_note(traceback.format_exc())
                answer = error
    except (EOFError, OSError):  # the parent has closed the pipe
        return


def _end_in_time(state: WorkState) -> None:
    """End this process when its result is not wanted any more.

    That is when its parent is gone, be it by SIGKILL, and some time after it was told to stop: a
    parent whose fork server is gone cannot kill it.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        while not wait([parent.sentinel], _WATCH_SECONDS):
            if state.is_stopped:
                wait([parent.sentinel], END_SECONDS)
                break
        os._exit(1)


@contextmanager
def without_main() -> Iterator[None]:
    """Start processes that do not import the caller's script.

    Workers need nothing of it. It may import a lot, call us outside of any function, or come from
    the standard input.
    """
    main = vars(sys.modules["__main__"])
    kept: dict[str, object] = {n: main[n] for n in ("__file__", "__spec__") if n in main}
    main["__spec__"] = None
    main.pop("__file__", None)
    try:
        yield
    finally:
        main.update(kept)
