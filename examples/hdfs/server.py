"""One server of Hadoop: a Java process that can be stopped, killed, frozen and started again."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from examples.hdfs import hadoop

# Of Java that ends soon: half of its work would be to compile itself.
QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
# For the kernel, the parent of a process is the thread that made it: this one lives to the end.
_PARENT = ThreadPoolExecutor(1, thread_name_prefix="servers")


def java_command(conf: Path, main: str, *arguments: str, options: tuple[str, ...]) -> list[str]:
    """Return the command line that runs a class of Hadoop with the configuration in `conf`."""
    classpath = f"{conf}:{hadoop.jars()}/*"
    return [hadoop.java(), *options, "-cp", classpath, main, *arguments]


def environment(user: str | None = None) -> dict[str, str]:
    """Return an environment in which no setting of the caller's own Hadoop counts."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HADOOP_")}
    return clean if user is None else {**clean, "HADOOP_USER_NAME": user}


class Server:
    """A NameNode or a DataNode, known by the id of its process in `NAME.pid`.

    With `detached` it outlives the program that started it; otherwise it ends with it, however
    that ends.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        main: str,
        *arguments: str,
        java: Sequence[str],
        detached: bool,
    ) -> None:
        self.name = name
        self.log = folder / "log" / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._conf = folder / "conf"
        self._main = main
        self._arguments = arguments
        self._java = tuple(java)
        self._detached = detached
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process; None where none runs."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        # The number may have gone to another program since.
        return pid if str(self._conf).encode() in command else None

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        if self.pid is not None:
            return
        options = ("-Xmx512m", "-XX:+UseSerialGC", *self._java)
        command = java_command(self._conf, self._main, *self._arguments, options=options)
        self.log.parent.mkdir(exist_ok=True)
        with open(self.log, "ab") as log:
            process = _PARENT.submit(_begin, command, log, self._detached).result()
        self._process = process
        self._pid_file.write_text(str(process.pid))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def freeze(self) -> None:
        """Stop the process where it stands: connections stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once, as a power failure does."""
        self.signal(signal.SIGKILL)
        self._wait(10)

    def stop(self) -> None:
        """End the process in order, by force where it does not go within 10 seconds."""
        self.thaw()
        self.signal(signal.SIGTERM)
        if not self._wait(10):
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return the end of the log, for an error message."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        except OSError:
            return ""

    def _wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.pid is not None:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        self._process = None
        return True


def _begin(command: list[str], log: BinaryIO, detached: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment(),
        start_new_session=True,  # a Ctrl-C in the terminal is not for the server
        preexec_fn=None if detached else die_with_parent,
    )


def die_with_parent() -> None:
    """Let a process that is being started end with the thread that starts it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
