"""The HDFS client of this process: made when it is needed, and asked with a deadline.

The client is hdfs-native, written in Rust. What it needs from us:

- It does not survive a fork, so each process makes its own. It is never freed: freeing one in a
  child waits for threads that only the parent has.
- All clients of a process share connections to DataNodes that are kept for 3 seconds. A child that
  took one of its parent's would read bytes meant for the parent, and the parent those of the
  child, without an error. A child makes its first client when they have run out.
- A NameNode that hangs is waited for without an end, so a thread asks and the caller counts.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

from shardio.errors import LoginError, MissingExtraError, UnavailableError
from shardio.storage.call import Call, NoAnswerError
from shardio.storage.hdfs_errors import IS_IT_UP, is_foreign, is_passing, translate
from shardio.storage.waiting import Wait, patiently, sleep

T = TypeVar("T")

# A NameNode that never answered is given up soon: most often its address is wrong. One that has
# answered may be restarting, or another one may be taking over.
_FIRST_SECONDS = 8.0
_SECONDS = 60.0
# The least time for one try, so short that it need not be reported.
_TRY_SECONDS = 4.0
# Writing is acknowledged by DataNodes, for which the client itself waits up to a minute.
_WRITE_SECONDS = 90.0
# The client keeps idle connections to DataNodes for 3 seconds.
_KEPT_SECONDS = 3.5
# Hadoop waits 60 seconds for a DataNode, and takes another replica only then.
_READING = {"dfs.client.socket-timeout": "5000"}
# By default the client tries for three minutes. We try again ourselves, where it makes sense.
_DEFAULTS = {
    "dfs.client.failover.max.attempts": "3",
    "dfs.client.failover.sleep.base.millis": "100",
}
# What the client takes from the environment when it is made.
_ENVIRONMENT = ("HADOOP_CONF_DIR", "HADOOP_HOME", "HADOOP_USER_NAME", "HADOOP_PROXY_USER")
_DEFAULT_PORT = 8020

_clients: dict[tuple[Any, ...], HdfsClient] = {}
# When a DataNode was last read from, and from when on a forked child may do so.
_last_read = 0.0
_free_from = 0.0


class HdfsClient:
    """One client, for one file system; any number of threads may use it."""

    def __init__(self, root: str, raw: Any, options: Any) -> None:
        self.options = options
        self.pid = os.getpid()
        # A lock of the library may have been held by another thread of the parent.
        self.is_of_child = _free_from > 0
        self._root = root
        self._raw = raw
        self._answered = False

    def ask(self, path: str, action: Callable[[Any], T], wait: Wait | None = None) -> T:
        """Call `action` with the client, again where a NameNode is down or not the active one.

        That lasts no longer than `wait`, where it is given. Raises errors of ours.
        """
        own = Wait(_SECONDS if self._answered else _FIRST_SECONDS)
        wait = own if wait is None or wait.left > own.left else wait
        waits = False

        def attempt() -> T:
            nonlocal waits
            try:
                return self._call(path, action, wait)
            except BaseException as error:
                waits = self._answered and is_foreign(error) and is_passing(error)
                if not is_foreign(error):
                    raise
                raise translate(error, path) from error

        try:
            return patiently(attempt, lambda _: waits, wait, key=self._root)
        except UnavailableError:
            # After a whole wait in vain the next one is short.
            self._answered = self._answered and own.left > 0
            raise

    def ask_once(self, path: str, action: Callable[[Any], T], seconds: float = _WRITE_SECONDS) -> T:
        """Call `action`, which changes something, once with the client; raises errors of ours."""
        try:
            return self._call(path, action, Wait(seconds))
        except BaseException as error:
            if not is_foreign(error):
                raise
            raise translate(error, path) from error

    def _call(self, path: str, action: Callable[[Any], T], wait: Wait) -> T:
        try:
            result = Call(action, self._raw).result(last_try(wait), self._root)
        except NoAnswerError:
            raise UnavailableError(
                f"{path}: no answer from {self._root} within {wait.seconds:.0f} seconds; {IS_IT_UP}"
            ) from None
        except BaseException as error:
            self._answered = self._answered or (is_foreign(error) and not is_passing(error))
            raise
        self._answered = True
        return result


def last_try(wait: Wait) -> Wait:
    """Return a wait for one try: at the end of `wait` there may be no time left for an answer."""
    return wait if wait.left > _TRY_SECONDS else Wait(_TRY_SECONDS)


def client_for(root: str, *, reading: bool = False) -> HdfsClient:
    """Return this process's client of the file system `root`, such as hdfs://host:8020.

    With `reading` it waits less for a DataNode, since another one has the same bytes.
    """
    environment = (os.environ.get(name) for name in _ENVIRONMENT)
    key = (os.getpid(), root, reading, *environment)
    client = _clients.get(key)
    if client is None:
        if reading:
            sleep(max(0.0, _free_from - time.monotonic()))
        client = _clients.setdefault(key, _make(root, _DEFAULTS | (_READING if reading else {})))
    return client


def note_read() -> None:
    """Record that a DataNode is or was read from."""
    global _last_read
    _last_read = time.monotonic()


def _make(root: str, defaults: dict[str, str]) -> HdfsClient:
    try:
        from hdfs_native import Client, WriteOptions
    except ImportError as error:
        raise MissingExtraError(
            f"{root} needs hdfs-native: it comes with shardio's extra [hdfs]"
        ) from error
    host = root.partition("://")[2]
    if "@" in host:
        raise LoginError(f"{root}: the user is taken from HADOOP_USER_NAME, not the URL")
    own = _configured()
    config = {key: value for key, value in defaults.items() if key not in own}
    try:
        try:
            client = Client(root if host else f"{root}/", config)
        except RuntimeError as error:
            # Neither a port nor a name service that is configured: a host, for Hadoop.
            if "No NameNode hosts found" not in str(error):
                raise
            client = Client(f"{root}:{_DEFAULT_PORT}", config)
    except Exception as error:
        raise translate(error, root) from error
    # The inner client: the outer one's files, when they are freed, commit what was written.
    raw = client.inner
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(raw))
    return HdfsClient(root, raw, WriteOptions)


def _configured() -> set[str]:
    """Return the names of the properties that the user's own configuration sets."""
    folder = os.environ.get("HADOOP_CONF_DIR")
    if folder is None and "HADOOP_HOME" in os.environ:
        folder = os.path.join(os.environ["HADOOP_HOME"], "etc", "hadoop")
    names: set[str] = set()
    for name in ("core-site.xml", "hdfs-site.xml") if folder else ():
        try:
            tree = ElementTree.parse(Path(folder or "", name))
        except (OSError, ElementTree.ParseError):
            continue  # the client will say what is wrong with it
        names.update(element.text.strip() for element in tree.iter("name") if element.text)
    return names


def _leave_parent() -> None:
    global _free_from
    now = time.monotonic()
    # A read of another thread may have been going on, which takes no longer than a minute.
    _free_from = now + _KEPT_SECONDS if _last_read and now - _last_read < _SECONDS else now


os.register_at_fork(after_in_child=_leave_parent)
