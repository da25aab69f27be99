"""How a command line begins and ends: Ctrl-C at any moment, and output that nobody reads."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import TextIO

from shardio.plain_text import plain_lines

INTERRUPTED = 128 + signal.SIGINT
# As a shell says of a program that writes to a pipe without a reader.
UNREAD = 128 + signal.SIGPIPE


def run(program: str, load: Callable[[], Callable[[], int]]) -> int:
    """Import a command line with `load` and run it; returns the exit code.

    Imports take a while, and Ctrl-C may come before there is anything to stop.
    """
    code = 1
    # What takes long is a warning of the log; without a handler it would lack the name.
    reports = logging.StreamHandler()
    reports.setFormatter(_PlainFormatter(f"{program}: %(message)s"))
    logging.getLogger("shardio").addHandler(reports)
    try:
        try:
            code = _imported(program, load)()
        finally:  # also after the SystemExit of --help
            _flush()
    except KeyboardInterrupt:
        sys.stderr.write(_stopped(program))
        code = INTERRUPTED
    except BrokenPipeError:
        if not _drop_unread():
            raise
        code = UNREAD
    except OSError as error:
        if not _drop_unread():
            raise
        sys.stderr.write(f"{program}: what it has to say cannot be written: {error.strerror}\n")
        code = 1
    # What is left is the end of the interpreter, where an interrupt would be a traceback.
    if current_thread() is main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return code


class _PlainFormatter(logging.Formatter):
    """Names of files are others' texts, too."""

    def format(self, record: logging.LogRecord) -> str:
        return plain_lines(super().format(record))


def _imported(program: str, load: Callable[[], Callable[[], int]]) -> Callable[[], int]:
    """Import a command line; Ctrl-C ends the process at once, as there is nothing to stop.

    An exception would not: code that imports run from C, and callbacks, may swallow it.
    """
    handler = signal.getsignal(signal.SIGINT)
    if current_thread() is not main_thread() or handler is not signal.default_int_handler:
        return load()

    def end(*_: object) -> None:
        os.write(2, _stopped(program).encode())
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, end)
    try:
        return load()
    finally:
        signal.signal(signal.SIGINT, handler)


def _stopped(program: str) -> str:
    return f"{program}: stopped before anything was begun\n"


def _flush() -> None:
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _drop_unread() -> bool:
    """Let what cannot be written go; returns whether there was such a stream."""
    streams: list[TextIO | None] = [sys.stdout, sys.stderr]
    unread = [_drop(stream) for stream in streams if stream is not None]
    return any(unread)


def _drop(stream: TextIO) -> bool:
    try:
        if not is_unread(stream):
            stream.flush()
            return False
    except OSError:
        pass
    # At its end Python would try once more, and say that it could not.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return True


def is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe whose reader has gone; what is not buffered shows it only so."""
    asked = select.poll()
    try:
        asked.register(stream, select.POLLOUT)
    except ValueError:  # it has no descriptor, or is closed
        return False
    return any(event & select.POLLERR for _, event in asked.poll(0))
