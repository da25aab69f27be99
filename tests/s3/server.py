"""A real S3 server on this machine, moto_server: a process that ends with the tests."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from tests import started

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_SECONDS = 300
# Tests of the reader have a cache of their own later.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# A test looks for these in all that is written.
KEY = "AKIAKEYOFTHETESTS000"
SECRET = "secret/of+the/tests/0123456789"


def program() -> Path:
    """Return the path of moto_server, where .ci/s3 has put it."""
    return Path(_CACHE, "shardio", "moto", "bin", started.S3_SERVER)


def environment(url: str) -> dict[str, str]:
    """Return how a client is told of the server, and of nothing else."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class S3Server:
    """A server that keeps all objects in its memory; `settings` go to its environment."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        # Lists come in short pages.
        settings = {"MOTO_S3_DEFAULT_MAX_KEYS": "5", **(settings or {})}
        self._log = folder / f"{self.port}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [program(), "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **settings},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._seen = 0
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        end = time.monotonic() + _SECONDS
        while True:
            try:
                with urlopen(f"{self.url}/moto-api/", timeout=5):
                    return
            except OSError:  # no answer in time is no URLError
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end, self._log.read_text()
                time.sleep(0.05)

    def requests(self) -> list[str]:
        """Return what was asked since the last call: methods and paths."""
        with open(self._log, errors="replace") as log:
            log.seek(self._seen)
            text = log.read()
            self._seen = log.tell()
        return re.findall(r'"((?:[A-Z]+) \S+) HTTP', text)

    def freeze(self) -> None:
        """Stop the process where it is: connections stay open and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process, and forget all objects."""
        self._process.kill()
        self._process.wait()


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
