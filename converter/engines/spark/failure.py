"""How the failure of a task reaches the driver: as text, within the text of a Java exception."""

from __future__ import annotations

import base64
import json
import re
import traceback

from shardio import errors
from shardio.errors import ShardioError, StorageError, WorkerError

_MARK = "shardio-failure:"
_MARKED = re.compile(rf"{_MARK}([A-Za-z0-9+/=]+)")
_PARTITION = re.compile(r"Task (\d+) in stage|Lost task (\d+)\.")
_LOST = re.compile(r"(ExecutorLostFailure|exited caused by one of the running tasks|worker exited)")
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
# The last line of a traceback, before the stack of Java.
_PYTHON = re.compile(r"PythonException: Traceback .*?\n([^\s][^\n]*)\n\s*(?:at |$)", re.DOTALL)
_JAVA = re.compile(r"^(?:[\w$]+\.)+[\w$]+(?:Exception|Error): ")
# Beneath the stack; what Spark says above it may be "An error has occurred".
_CAUSE = re.compile(r"^Caused by: (.*)$", re.MULTILINE)


class TaskFailedError(Exception):
    """A task failed; the message is for `error_of`, which says the same to people."""

    @classmethod
    def of(cls, error: Exception, shard: str, host: str) -> TaskFailedError:
        """Return what a task raises for an error."""
        fields = {
            "kind": type(error).__name__,
            "message": str(error),
            "shard": shard,
            "host": host,
            "trace": "".join(traceback.format_exception(error)),
        }
        return cls(_MARK + base64.b64encode(json.dumps(fields).encode()).decode())


def error_of(text: str, shards: list[str], master: str) -> ShardioError:
    """Return what a job's failure means, of which Spark says `text`; tasks make `shards`."""
    if (found := _MARKED.search(text)) is not None:
        return _told(json.loads(base64.b64decode(found[1])))
    if (module := _NO_MODULE.search(text)) is not None:
        return WorkerError(
            f"the Python of Spark's executors has no module {module[1]}: ship the driver's "
            "environment to them (docs/spark.md)"
        )
    which = ""
    if (task := _PARTITION.search(text)) is not None:
        number = int(task[1] or task[2])
        which = f"{shards[number]}: " if number < len(shards) else ""
    if _LOST.search(text):
        return WorkerError(
            f"{which}the executor died each time that Spark tried it (killed, or out of memory). "
            "Finished shards are kept: give the same command again, with more memory if that ran "
            "out (--conf spark.executor.memoryOverhead=2g)"
        )
    if (trace := _PYTHON.search(text)) is not None:
        return WorkerError(f"{which}Python of a Spark executor failed: {trace[1].strip()}")
    return WorkerError(f"{which}Spark at {master} failed: {_first_line(text)}")


def _told(fields: dict[str, str]) -> ShardioError:
    kind = getattr(errors, fields["kind"], None)
    said = f"{fields['shard']} on {fields['host']}: {fields['message']}"
    if isinstance(kind, type) and issubclass(kind, StorageError | WorkerError):
        return kind(said)
    error = WorkerError(
        f"{fields['shard']} on {fields['host']}: {fields['kind']}: {fields['message']}"
    )
    error.add_note(fields["trace"])
    return error


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # py4j says first which call failed.
    while lines and lines[0].startswith(("An error occurred while calling", ": ")):
        if lines[0].startswith(": "):
            lines[0] = lines[0][2:]
            break
        lines.pop(0)
    if not lines:
        return "without a reason"
    said = _JAVA.sub("", lines[0]).rstrip(".:")
    causes = _CAUSE.findall(text)
    last = _JAVA.sub("", causes[-1].strip()).rstrip(".:") if causes else ""
    return said if last in said else f"{said}: {last}"
