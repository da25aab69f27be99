"""Asking a file system of fsspec, which answers in time, or with an error of ours."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from shardio.errors import (
    LoginError,
    MissingFileError,
    ShardioError,
    StorageError,
    UnavailableError,
    UnusableFileError,
)
from shardio.storage import s3_errors
from shardio.storage.call import Call, NoAnswerError
from shardio.storage.waiting import Wait, patiently

T = TypeVar("T")

# A server may take so long for an answer, and for the bytes of a large one so much more.
_ANSWER_SECONDS = 20.0
_BYTES_PER_SECOND = 1_000_000
# For what takes as long as it takes: a file that is written, or read whole.
LARGE = 1 << 30
# What fails in passing is tried again for so long, all tries together.
RETRY_SECONDS = 60.0
# The least time for the last of them.
_TRY_SECONDS = 4.0
# Not now, but maybe later: time-outs, too many requests.
_PASSING = (408, 425, 429)
# Names of errors of aiohttp and botocore that come of connections.
_NETWORK = {
    *("ClientConnectionError", "ClientPayloadError", "EndpointConnectionError"),
    *("HTTPClientError", "ConnectTimeoutError", "IncompleteReadError", "ResponseParserError"),
}
# Words by which libraries say that a login was refused: in names of errors, and in texts.
_LOGIN = ("Authentication", "Credential")
_LOGIN_TEXT = re.compile(r"530[ -]|.*(InvalidAccessKeyId|SignatureDoesNotMatch)", re.DOTALL)


# When servers were last waited for in vain.
_given_up: dict[str, float] = {}


class _Deadline(threading.local):
    """When the tries of a thread end."""

    wait = Wait(math.inf)


_deadline = _Deadline()


def ask(path: str, action: Callable[[], T], size: int = 0) -> T:
    """Call `action`, which asks for `size` bytes of `path`; raises errors of ours."""
    seconds = min(_ANSWER_SECONDS, max(_TRY_SECONDS, _deadline.wait.left))
    try:
        return Call(action).result(Wait(seconds + size / _BYTES_PER_SECOND), path)
    except NoAnswerError as error:
        raise UnavailableError(
            f"{path}: no answer from the server within {seconds:.0f} seconds"
        ) from error
    except Exception as error:
        raise translate(error, path) from error


def ask_again(path: str, action: Callable[[], T]) -> T:
    """Call `action`, which asks for `path`, and again while its server is unavailable.

    One that was waited for in vain is not waited for once more within the next minute.
    """
    server = "/".join(path.split("/", 3)[:3])
    since = time.monotonic() - _given_up.get(server, -math.inf)
    before, wait = _deadline.wait, Wait(0.0 if since < RETRY_SECONDS else RETRY_SECONDS)
    _deadline.wait = wait
    try:
        result = patiently(action, is_unavailable, wait)
    except UnavailableError:
        _given_up[server] = time.monotonic()
        raise
    finally:
        _deadline.wait = before
    _given_up.pop(server, None)
    return result


def is_unavailable(error: BaseException) -> bool:
    """Whether another try may go well."""
    return isinstance(error, UnavailableError)


def translate(error: Exception, path: str) -> Exception:
    """Turn a foreign error into ours, naming the path."""
    if isinstance(error, ShardioError):
        return error
    if answered := s3_errors.translate(error, path):
        return answered
    error = _true(error)
    reason = str(error) or type(error).__name__
    status = _status(error)
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    if status in (404, 410) or (status is None and missing):
        return MissingFileError(f"{path}: No such file or directory")
    named = any(word in type(error).__name__ for word in _LOGIN)
    if status in (401, 407) or named or _LOGIN_TEXT.match(reason):
        return LoginError(f"{path}: the login is refused: {reason}")
    if status in _PASSING or (status is not None and status >= 500) or _is_of_network(error):
        return UnavailableError(f"{path}: {reason}")
    unusable = isinstance(error, PermissionError | IsADirectoryError)
    if unusable or status is not None or type(error).__name__ == "InvalidURL":
        return UnusableFileError(f"{path}: {reason}")
    return StorageError(f"{path}: {reason}")


def _true(error: Exception) -> Exception:
    """Return the cause of a file that is said to be missing: some report every fault so."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, Exception):
        known = isinstance(cause, OSError) or type(cause).__module__.startswith("aiohttp")
        if known or _status(cause) is not None or _is_of_network(cause):
            return _true(cause)
    return error


def _is_of_network(error: Exception) -> bool:
    import asyncio

    passing = (TimeoutError, ConnectionError, asyncio.TimeoutError, EOFError)
    if isinstance(error, passing):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & _NETWORK)


def _status(error: Exception) -> int | None:
    """Return the status of HTTP that an error is of, in the words of various libraries."""
    answer: Any = getattr(error, "response", None)
    if isinstance(answer, dict):
        code = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        code = getattr(answer, "status_code", None)
    for name in ("status", "status_code", "code"):  # one after the other: some are deprecated
        if isinstance(code, int):
            break
        code = getattr(error, name, None)
    return code if isinstance(code, int) and 400 <= code < 600 else None
