"""A standalone cluster of Spark on this machine: a master and workers of one core each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from examples.hdfs.server import QUICK_JAVA, die_with_parent
from tests.converter.inputs import is_running, line_of, wait_until

_PYTHON = b"pyspark.daemon"
_DEPLOY = "org.apache.spark.deploy"


class Standalone:
    """A master and workers; what they write is in `folder`.

    They have PySpark's Python and nothing of ours on their path.
    """

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        self._ports = _free_ports(2)
        self.url = f"spark://127.0.0.1:{self._ports[0]}"
        self._count = workers
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._added = 0

    @property
    def workers(self) -> list[str]:
        """The names of the workers that run."""
        return [name for name in self._servers if name != "master"]

    def __enter__(self) -> Standalone:
        try:
            port, web = map(str, self._ports)
            address = ["--port", port, "--webui-port", web]
            self._start("master", "127.0.0.1", [f"{_DEPLOY}.master.Master", *address])
            self.add(self._count)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def add(self, workers: int = 1) -> None:
        """Start workers and wait until the master knows them.

        Each has an address of its own: a speculative attempt never runs on the same host.
        """
        before = self._alive()
        for _ in range(workers):
            self._added += 1
            name = f"w{self._added}"
            words = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / name)]
            words = [f"{_DEPLOY}.worker.Worker", "--webui-port", "0", *words, self.url]
            self._start(name, f"127.0.0.{1 + self._added}", words)
        wait_until(lambda: self._alive() >= before + workers)

    def __exit__(self, *exception: object) -> None:
        for name in [*self.workers, "master"]:
            self.kill(name)

    def kill(self, name: str) -> None:
        """End a server at once, and with a worker what it has started, as a power failure does."""
        server = self._servers.pop(name)
        own = [] if name == "master" else self._processes(name)
        server.kill()
        for pid in own:
            _signal(pid, signal.SIGKILL)
        server.wait()
        wait_until(lambda: not any(map(is_running, own)))

    def pythons(self, name: str) -> list[int]:
        """Return the processes that work on tasks of a worker, not the one that forks them."""
        found = [pid for pid in self._processes(name) if _PYTHON in line_of(pid)]
        return [pid for pid in found if _PYTHON in line_of(_parent(pid))]

    def _processes(self, name: str) -> list[int]:
        """Return the processes that a worker has started: they work in its folder."""
        folder = f"{self.folder / name}/"
        pids = (int(pid) for pid in os.listdir("/proc") if pid.isdigit())
        return [pid for pid in pids if _folder(pid).startswith(folder)]

    def _alive(self) -> int:
        try:
            with urlopen(f"http://127.0.0.1:{self._ports[1]}/json/", timeout=10) as answer:
                return int(json.load(answer)["aliveworkers"])
        except OSError:  # no answer in time is no URLError
            return 0

    def _start(self, name: str, host: str, words: Sequence[str]) -> None:
        spec = find_spec("pyspark")
        assert spec is not None
        assert spec.origin is not None
        home = Path(spec.origin).parent
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            self._servers[name] = subprocess.Popen(
                [str(home / "bin" / "spark-class"), *words, "--host", host],
                cwd=self.folder,
                env=_environment(home, host),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )


def _environment(home: Path, host: str) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYSPARK_PYTHON")}
    path = f"{Path(sys.executable).parent}:{ours['PATH']}"
    spark = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": host, "SPARK_DAEMON_MEMORY": "256m"}
    spark["SPARK_DAEMON_JAVA_OPTS"] = " ".join(QUICK_JAVA)
    return {**ours, **spark, "PATH": path}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def _folder(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
