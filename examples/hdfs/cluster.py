"""A real HDFS on this machine: one NameNode or two, and any number of DataNodes.

    python -m examples.hdfs.cluster start FOLDER [--datanodes N]
    python -m examples.hdfs.cluster stop FOLDER

starts and stops one for trying things out; what was written to it stays in FOLDER. `Cluster` is
the same for tests: with small blocks, high availability, and servers that can be killed or frozen.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from examples.hdfs import hadoop
from examples.hdfs.configuration import ClusterOptions, Configuration
from examples.hdfs.server import QUICK_JAVA, Server, environment, java_command

_SERVER = "org.apache.hadoop.hdfs.server"
_NAMENODE = f"{_SERVER}.namenode.NameNode"
# One processor and little memory are enough for a command of a second.
_TOOL_OPTIONS = ("-Xmx256m", *QUICK_JAVA)


class ToolError(Exception):
    """One of Hadoop's own programs failed."""


class Cluster:
    """The servers of one HDFS; everything that they write is in `folder`.

    With `detached` they outlive this process, and another one can be told the same folder.
    """

    def __init__(
        self, folder: Path, options: ClusterOptions | None = None, *, detached: bool = False
    ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        options = options or ClusterOptions()
        self._java = options.java
        self._configuration = Configuration(self.folder, options)
        self.url = self._configuration.url
        self.conf = self.folder / "conf"
        self.namenodes = [
            self._server(name, _NAMENODE, detached) for name in self._configuration.namenodes
        ]
        self.datanodes = [
            self._server(name, f"{_SERVER}.datanode.DataNode", detached)
            for name in self._configuration.datanodes
        ]

    def _server(self, name: str, main: str, detached: bool) -> Server:
        arguments = self._configuration.arguments(name)
        return Server(self.folder, name, main, *arguments, java=self._java, detached=detached)

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def is_up(self) -> bool:
        """Whether all servers run."""
        return all(server.pid is not None for server in [*self.namenodes, *self.datanodes])

    def web_address(self, name: str = "nn0") -> str:
        """Return host and port at which a server speaks HTTP."""
        return self._configuration.address(f"{name}.http")

    def start(self) -> None:
        """Start all servers and wait until the file system can be written to."""
        self._configuration.write()
        try:
            first, *others = self.namenodes
            self._prepare("nn0", "-format", "-force", "-nonInteractive")
            first.start()
            for server in self.datanodes:
                server.start()
            for server in others:
                self._wait(first, self.answers, first.name)
                self._prepare(server.name, "-bootstrapStandby", "-force", "-nonInteractive")
                server.start()
            if others:
                for server in others:
                    self._wait(server, self.answers, server.name)
                self.activate(first.name)
            self.wait_until_live(len(self.datanodes))
        except BaseException:
            self.stop()
            raise

    def _prepare(self, name: str, *action: str) -> None:
        """Give a NameNode its folder, unless it has one."""
        if not (self.folder / "data" / name).exists():
            try:
                self.tool(_NAMENODE, *self._configuration.arguments(name), *action)
            except BaseException:
                shutil.rmtree(self.folder / "data" / name, ignore_errors=True)
                raise

    def stop(self) -> None:
        """Stop all servers; the files stay."""
        for server in [*self.datanodes, *self.namenodes]:
            server.stop()

    def fs(self, *arguments: str, user: str | None = None) -> str:
        """Run Hadoop's file system shell: `fs("-ls", "/")`."""
        return self.tool("org.apache.hadoop.fs.FsShell", *arguments, user=user)

    def admin(self, *arguments: str) -> str:
        """Run Hadoop's administration: `admin("-safemode", "enter")`."""
        return self.tool("org.apache.hadoop.hdfs.tools.DFSAdmin", *arguments)

    def activate(self, name: str) -> None:
        """Make one NameNode of two the one that answers."""
        tool = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
        for other in self.namenodes:
            if other.name != name and other.pid is not None:
                self.tool(tool, "-transitionToStandby", other.name)
        # Otherwise it asks the other one, which may be dead, and refuses.
        self.tool(tool, "-transitionToActive", "--forceactive", name)

    def tool(self, main: str, *arguments: str, user: str | None = None) -> str:
        """Run one of Hadoop's programs and return what it printed."""
        command = java_command(self.conf, main, *arguments, options=_TOOL_OPTIONS)
        done = subprocess.run(
            command, env=environment(user), capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            words = (done.stderr or done.stdout).strip()[-2000:]
            raise ToolError(f"{main.rpartition('.')[2]} {' '.join(arguments)}: {words}")
        return done.stdout

    def answers(self, name: str = "nn0") -> bool:
        """Whether a NameNode answers."""
        return bool(self._bean(name, "FSNamesystemState"))

    def state(self, name: str) -> str:
        """Return "active" or "standby", or nothing where a NameNode does not answer."""
        return str(self._bean(name, "NameNodeStatus").get("State", ""))

    def is_live(self, count: int) -> bool:
        """Whether all NameNodes that run are out of safe mode and know so many DataNodes."""
        states = [
            self._bean(server.name, "FSNamesystemState")
            for server in self.namenodes
            if server.pid is not None
        ]
        return bool(states) and all(
            state.get("FSState") == "Operational" and state["NumLiveDataNodes"] >= count
            for state in states
        )

    def wait_until_live(self, count: int) -> None:
        """Wait until all NameNodes that run are out of safe mode and know so many DataNodes."""
        self._wait(self.namenodes[0], self.is_live, count)

    def wait_until_joined(self, server: Server) -> None:
        """Wait until a DataNode that was started has told the NameNodes which blocks it has."""
        self._wait(server, self._has_joined, server.name)

    def _has_joined(self, name: str) -> bool:
        found = self._bean(name, "DataNodeInfo", service="DataNode").get("BPServiceActorInfo")
        actors: list[dict[str, str]] = json.loads(found or "[]")
        # Until the first one it counts from 1970.
        return bool(actors) and all(
            actor["ActorState"] == "RUNNING" and int(actor["LastBlockReport"]) < 10**6
            for actor in actors
        )

    def _wait(self, server: Server, ready: Any, argument: Any, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not ready(argument):
            if server.pid is None or time.monotonic() > end:
                raise hadoop.UnavailableError(
                    f"{server.name} did not start; its last words:\n{server.last_words()}"
                )
            time.sleep(0.1)

    def _bean(self, name: str, bean: str, service: str = "NameNode") -> dict[str, Any]:
        url = f"http://{self.web_address(name)}/jmx?qry=Hadoop:service={service},name={bean}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                beans: list[dict[str, Any]] = json.load(answer)["beans"]
        except (OSError, ValueError):
            return {}
        return beans[0] if beans else {}


def main(arguments: list[str] | None = None) -> int:
    """Start or stop a cluster that outlives this program."""
    parser = argparse.ArgumentParser(prog="python -m examples.hdfs.cluster")
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--datanodes", type=int, default=1, metavar="N")
    chosen = parser.parse_args(arguments)
    if chosen.datanodes < 1:
        parser.error("--datanodes must be at least 1")
    try:
        hadoop.java()
        # With the port that a NameNode usually has, if it is free.
        options = ClusterOptions(datanodes=chosen.datanodes, port=8020)
        cluster = Cluster(chosen.folder, options, detached=True)
        if chosen.action == "stop":
            cluster.stop()
            print(f"{cluster.url} is stopped; its files stay in {chosen.folder}")
            return 0
        if cluster.is_up:
            print(f"{cluster.url} is up already")
        else:
            cluster.start()
            print(f"{cluster.url} is up")
        print(f"Stop it with: make hdfs-stop, or {parser.prog} stop {chosen.folder}")
    except (hadoop.UnavailableError, ToolError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
