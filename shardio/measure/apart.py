"""Work in a process of its own: what it imports disturbs nobody, and its memory is its own.

The process is told to run by its standard input and ends when that is closed, also where its parent
was killed. What its libraries print is shown only where the work fails.
"""

from __future__ import annotations

import os
import pickle
import queue
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Generic, TypeVar

from shardio.errors import ShardioError
from shardio.measure.memory import Memory, SampledMemory

_Result = TypeVar("_Result")

_PROGRAM = "from shardio.measure.apart import serve; serve()"
# Seconds between looks at the memory, which cost next to nothing.
_SAMPLED = 0.03
# Of what a process that failed has printed.
_SHOWN = 2000


class Apart(Generic[_Result]):
    """A process that calls `begin(*arguments)` once, and what that returns at each `run`.

    Arguments and results are pickled. Raises the ShardioError that the work raises, and one for all
    else that goes wrong.
    """

    def __init__(self, begin: Callable[..., Callable[..., _Result]], *arguments: Any) -> None:
        self.memory = Memory(0, 0)
        """The most memory that the process has had, once it has run."""
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        answers, write = os.pipe()
        places = os.pathsep.join(path or os.getcwd() for path in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(write)],
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=self._said,
                pass_fds=[write],
                env={**os.environ, "PYTHONPATH": places},
            )
        finally:
            os.close(write)
        self._answers = os.fdopen(answers, "rb")
        self._begun = False
        self._send((begin, arguments))

    def ready(self, seconds: float | None = None) -> bool:
        """Wait until the work has begun, for so many seconds at most; returns whether it has."""
        if not self._begun:
            if not select.select([self._answers], [], [], seconds)[0]:
                return False
            self._answer()
            self._begun = True
        return True

    def run(self, *arguments: Any) -> _Result:
        """Run the work once, when it has begun."""
        self.ready()
        self._send(arguments)
        result: _Result = self._answer()
        return result

    def _send(self, what: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which its answer will say

    def _answer(self) -> Any:
        try:
            result, error, memory = pickle.load(self._answers)
            own = max(memory.own, self.memory.own)
            self.memory = Memory(memory.resident, own)
        except EOFError:
            code = self._process.wait()
            raise ShardioError(
                f"the process that measures has ended with {code}:\n{self._printed()}"
            ) from None
        if error is not None:
            raise error
        return result

    def _printed(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")[-_SHOWN:].strip() or "it said nothing"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._answers.close()
        self._said.close()

    def __enter__(self) -> Apart[_Result]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve() -> None:
    """Do the work of this process: told what it is, and when to run."""
    answers = os.fdopen(int(sys.argv[1]), "wb")
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    told = threading.Thread(target=_listen, args=(messages,), daemon=True)
    told.start()
    begin, arguments = messages.get()
    run = _tried(answers, begin, *arguments)
    while True:
        _tried(answers, run, *messages.get())


def _listen(messages: queue.SimpleQueue[Any]) -> None:
    """Pass on what the parent says; without a parent nothing is left to do, whatever runs."""
    try:
        while True:
            messages.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        os._exit(0)
    except Exception:  # what was sent cannot be loaded here
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def _tried(answers: IO[bytes], work: Callable[..., Any], *arguments: Any) -> Any:
    """Call the work and answer; an error ends the process."""
    result, error = None, None
    sampled = SampledMemory(_SAMPLED)
    try:
        with sampled:
            result = work(*arguments)
    except ShardioError as failed:
        error = failed
    except Exception as failed:
        sys.excepthook(*sys.exc_info())
        lines = str(failed).strip().splitlines()
        error = ShardioError(f"{type(failed).__name__}: {lines[0] if lines else 'no message'}")
    sent = None if callable(result) else result
    pickle.dump((sent, error, Memory.of(sampled)), answers)
    answers.flush()
    if error is not None:
        os._exit(1)
    return result
