"""Scripts in processes of their own: a job of several workers, or another framework."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 500


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def tf_config(ports: Sequence[int], index: int) -> str:
    """Return the TF_CONFIG of a worker of a job on this machine."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def run(script: str, *arguments: object, **environment: str) -> Any:
    """Run a script; returns what its last line, printed as JSON, says."""
    return run_together(script, [arguments], [environment])[0]


def run_together(
    script: str,
    arguments: Sequence[Sequence[object]],
    environments: Sequence[Mapping[str, str]] | None = None,
) -> list[Any]:
    """Run a script once for each of `arguments`, all at the same time; as `run`."""
    environments = environments or [{}] * len(arguments)
    # Whatever job the tests themselves run in is not the job of these.
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in arguments]
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in arguments]
        processes: list[subprocess.Popen[bytes]] = []
        for number, given in enumerate(arguments):
            process = subprocess.Popen(
                [sys.executable, "-c", script, *map(str, given)],
                cwd=ROOT,
                env={**inherited, **quiet, **environments[number]},
                stdout=outputs[number],
                stderr=errors[number],
            )
            processes.append(process)
            stack.callback(process.wait)
            stack.callback(process.kill)
        _wait(processes)
        for number, process in enumerate(processes):
            if process.poll():
                raise AssertionError(f"process {number} failed:\n{_text(errors[number])[-4000:]}")
        assert all(process.poll() == 0 for process in processes), f"{_SECONDS} s were too few"
        return [json.loads(_text(output).splitlines()[-1]) for output in outputs]


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for all, but not for those that wait for one that has failed."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        codes = [process.poll() for process in processes]
        if None not in codes or any(codes):
            return
        time.sleep(0.02)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
