"""The configuration of a cluster: its ports, and the files that Hadoop and its clients read."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

NAMESERVICE = "shardio"
_HOST = "127.0.0.1"
_LOGGING = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{2}: %m%n
"""


@dataclass(frozen=True)
class ClusterOptions:
    """What a cluster is like.

    `replication` is 3 by default, or the number of DataNodes if that is less. With `ha` there are
    two NameNodes and one name for both. `port` is the one that the NameNode gets if it is free.
    `properties` are Hadoop's own, and win. `java` are more options for the Java
    of the servers.
    """

    datanodes: int = 1
    replication: int | None = None
    block_size: int = 128 << 20
    ha: bool = False
    port: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    java: tuple[str, ...] = ()


class Configuration:
    """Ports and properties of a cluster in `folder`; the ports are kept for the next start."""

    def __init__(self, folder: Path, options: ClusterOptions) -> None:
        self._folder = folder
        self._options = options
        names = ["nn0", "nn0.http"]
        if options.ha:
            names += ["nn1", "nn1.http"]
        for number in range(options.datanodes):
            names += [f"dn{number}", f"dn{number}.http", f"dn{number}.ipc"]
        self._ports = _keep_ports(folder / "ports.json", names, options.port)

    @property
    def namenodes(self) -> list[str]:
        """The names of the NameNodes."""
        return ["nn0", "nn1"] if self._options.ha else ["nn0"]

    @property
    def datanodes(self) -> list[str]:
        """The names of the DataNodes."""
        return [f"dn{number}" for number in range(self._options.datanodes)]

    @property
    def url(self) -> str:
        """The URL of the file system."""
        return f"hdfs://{NAMESERVICE if self._options.ha else self.address('nn0')}"

    def address(self, name: str) -> str:
        """Return host and port of a server; `NAME.http` is its web address."""
        return f"{_HOST}:{self._ports[name]}"

    def write(self) -> None:
        """Write the folder that Hadoop's programs and clients take as HADOOP_CONF_DIR."""
        conf = self._folder / "conf"
        for name in ("hdfs", "datanode", "static"):  # they must be on the class path
            (conf / "webapps" / name / "WEB-INF").mkdir(parents=True, exist_ok=True)
            (conf / "webapps" / name / "WEB-INF" / "web.xml").write_text("<web-app/>\n")
        (conf / "log4j.properties").write_text(_LOGGING)
        core = {"fs.defaultFS": self.url, "hadoop.tmp.dir": str(self._folder / "data")}
        (conf / "core-site.xml").write_text(_xml(core))
        (conf / "hdfs-site.xml").write_text(_xml(self._hdfs_properties()))

    def arguments(self, name: str) -> list[str]:
        """Return what tells one server of the cluster from the others."""
        data = (self._folder / "data" / name).as_uri()
        if name in self.namenodes:
            mine = {"dfs.namenode.name.dir": data}
            if self._options.ha:
                mine["dfs.ha.namenode.id"] = name
            else:
                mine["dfs.namenode.http-address"] = self.address(f"{name}.http")
        else:
            mine = {
                "dfs.datanode.data.dir": data,
                "dfs.datanode.address": self.address(name),
                "dfs.datanode.http.address": self.address(f"{name}.http"),
                "dfs.datanode.ipc.address": self.address(f"{name}.ipc"),
            }
        return [f"-D{key}={value}" for key, value in mine.items()]

    def _hdfs_properties(self) -> dict[str, str]:
        options = self._options
        found = {
            "dfs.replication": str(options.replication or min(3, options.datanodes)),
            "dfs.blocksize": str(options.block_size),
            "dfs.namenode.fs-limits.min-block-size": "4096",
            "dfs.datanode.hostname": _HOST,
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            # Otherwise a restarted NameNode waits another 30 seconds in safe mode.
            "dfs.namenode.safemode.extension": "0",
        }
        if options.ha:
            provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
            found |= {
                "dfs.nameservices": NAMESERVICE,
                f"dfs.ha.namenodes.{NAMESERVICE}": ",".join(self.namenodes),
                f"dfs.client.failover.proxy.provider.{NAMESERVICE}": provider,
                "dfs.namenode.shared.edits.dir": (self._folder / "data" / "edits").as_uri(),
                "dfs.ha.fencing.methods": "shell(/bin/true)",
                "dfs.ha.tail-edits.period": "1",
                # The other one reads edits when the active one has begun a new file: a NameNode
                # that was restarted would wait for up to two minutes in safe mode.
                "dfs.ha.log-roll.period": "1",
            }
            for name in self.namenodes:
                for word in ("rpc", "http"):
                    key = f"dfs.namenode.{word}-address.{NAMESERVICE}.{name}"
                    found[key] = self.address(name if word == "rpc" else f"{name}.http")
        return {**found, **options.properties}


def _keep_ports(file: Path, names: list[str], port: int) -> dict[str, int]:
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in names if name not in kept]
    # All at once, so that no port comes twice.
    sockets = [_bind(port if name == "nn0" else 0) for name in missing]
    kept.update(zip(missing, (free.getsockname()[1] for free in sockets), strict=True))
    for free in sockets:
        free.close()
    file.write_text(json.dumps(kept, indent=1))
    return kept


def _bind(port: int) -> socket.socket:
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        free.bind((_HOST, port))
    except OSError:
        free.bind((_HOST, 0))
    return free


def _xml(properties: Mapping[str, str]) -> str:
    lines = [
        f"<property><name>{escape(key)}</name><value>{escape(value)}</value></property>"
        for key, value in properties.items()
    ]
    return "\n".join(["<configuration>", *lines, "</configuration>", ""])
