"""mount a folder of any storage here, read-only, so that every program can read it"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from reader.mount.mount_point import KIND, file_system, is_served, prepare, unmount
from reader.mount.mounted_folder import MountedFolder
from reader.mount.signals import serve_until_signal
from shardio.errors import MountError
from shardio.heap import keep_freed_memory
from shardio.storage.paths import scheme_of

_PAUSE = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("url", metavar="URL", help="the folder, such as hdfs://host:8020/shards")
    parser.add_argument("point", metavar="FOLDER", help="where to mount it; made where missing")
    parser.add_argument(
        "--daemon", action="store_true", help="return when it is mounted, and go on in background"
    )
    parser.add_argument(
        "--allow-other",
        action="store_true",
        help="let other users of this machine read it too (user_allow_other in /etc/fuse.conf)",
    )
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)  # of a daemon


def run(arguments: argparse.Namespace) -> int:
    """Mount, and serve until Ctrl-C, SIGTERM or an unmount."""
    url = arguments.url if scheme_of(arguments.url) else os.path.abspath(arguments.url)
    if arguments.daemon:
        return _begin(url, arguments.point, allow_other=arguments.allow_other)
    keep_freed_memory()
    point = prepare(arguments.point, url)
    folder = MountedFolder(url, shared=arguments.allow_other)
    folder.check()
    if folder.closed:
        _say(f"others cannot read {url}: a folder above it is closed to them")
    from reader.mount.fuse_server import serve  # mfusepy, only when it is needed

    print(f"{url} is mounted on {point}, until Ctrl-C or {_end(point)}", flush=True)
    serve_until_signal(
        partial(serve, folder, point, _say, allow_other=arguments.allow_other),
        partial(unmount, point, even_if_busy=True),
        partial(_drop_log, arguments.log),
    )
    return 0


def _drop_log(log: Path | None) -> None:
    """Remove the log of a daemon, unless there is something to read in it."""
    with suppress(OSError):
        if log is not None and not log.stat().st_size:
            log.unlink()


def _end(point: str) -> str:
    return f"`shardio-read unmount {shlex.quote(point)}`"


def _say(what: str) -> None:
    print(f"shardio-read mount: {what}", file=sys.stderr, flush=True)


def _begin(url: str, point: str, *, allow_other: bool) -> int:
    """Start a server of its own, since clients of storage do not survive a fork."""
    point = prepare(point, url)
    command = [sys.executable, "-m", "reader", "mount", *(["--allow-other"] * allow_other)]
    with tempfile.NamedTemporaryFile(prefix="shardio-mount-", suffix=".log", delete=False) as log:
        server = subprocess.Popen(
            [*command, "--log", log.name, "--", url, point],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    try:
        while file_system(point) != KIND or not is_served(point):
            if server.poll() is not None:
                said = Path(log.name).read_text(errors="replace").strip()
                raise MountError(said.removeprefix("shardio-read: ") or "the server ended at once")
            time.sleep(_PAUSE)
    except BaseException:
        os.unlink(log.name)
        server.terminate()
        server.wait()
        raise
    server.returncode = 0  # it lives on, and Python need not warn of that
    print(
        f"{url} is mounted on {point}, until {_end(point)}; what cannot be read is listed in"
        f" {log.name}, which is kept if there is any"
    )
    return 0
