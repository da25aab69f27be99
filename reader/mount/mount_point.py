"""The folder that something is mounted on: whether it can be, whether it is, and the end of it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess

from shardio.errors import MountError

KIND = "fuse.shardio"
_MOUNTS = "/proc/self/mountinfo"
_DEVICE = "/dev/fuse"
_ESCAPED = re.compile(r"\\(\d{3})")


def other_ways(url: str = "hdfs://...") -> str:
    """Return what can be done without a mount."""
    return (
        f'Two ways need none: open_shards("{url}") reads directly, and `shardio-read stage {url}'
        " FOLDER` copies the shards to a disk"
    )


def file_system(point: str) -> str | None:
    """Return the type of the file system that is mounted on `point`, None where none is."""
    found = _mount_of(_whole(point))
    return None if found is None else found[1]


def device_of(point: str) -> str | None:
    """Return the number of the device that is mounted on `point`, a whole path, such as 0:42.

    For the server itself, which cannot answer while it asks.
    """
    found = _mount_of(point)
    return None if found is None else found[0]


def _mount_of(point: str) -> tuple[str, str] | None:
    """Return device and type of what is mounted; the path is not touched."""
    found = None
    with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            _, _, device, _, where, *_ = before.split(" ")
            # Octal numbers stand for bytes.
            if _ESCAPED.sub(lambda match: chr(int(match[1], 8)), where) == point:
                found = device, after.split(" ")[0]
    return found


def is_served(point: str) -> bool:
    """Whether the program that serves a mount is alive."""
    try:
        os.statvfs(point)  # stat would be answered from the kernel's cache for some seconds
    except OSError as error:
        return error.errno != errno.ENOTCONN
    return True


def prepare(point: str, url: str) -> str:
    """Make sure that `url` can be mounted on `point`; returns its whole path.

    The folder is made where it is missing. A mount of ours whose server has died is taken away.
    Raises MountError where there is no FUSE, the folder is not empty, or something is mounted.
    """
    if missing := _missing():
        raise MountError(f"{missing}, and without FUSE nothing can be mounted. {other_ways(url)}")
    point = _whole(point)
    kind = file_system(point)
    if kind == KIND and not is_served(point):
        unmount(point)
        kind = file_system(point)
    if kind is not None:
        end = f"; `shardio-read unmount {point}` takes it away" if kind == KIND else ""
        raise MountError(f"{point}: something is mounted there already ({kind}){end}")
    try:
        os.makedirs(point, exist_ok=True)
        names = os.listdir(point)
    except OSError as error:
        raise MountError(f"{point}: {error.strerror}; name a folder to mount on") from error
    if names:
        raise MountError(
            f"{point} is not empty; what is in it would be hidden. Name another folder"
        )
    return point


def unmount(point: str, *, even_if_busy: bool = False) -> None:
    """End a mount of ours, with `even_if_busy` also while programs have files open in it.

    Raises MountError where something else is mounted, or nothing, or it is busy.
    """
    point = _whole(point)
    kind = file_system(point)
    if kind != KIND:
        what = f"a file system of type {kind}" if kind else "nothing"
        raise MountError(f"{point}: {what} is mounted there, not shards")
    # One whose server has died is in use in no way that matters.
    lazy = even_if_busy or not is_served(point)
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", point]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and file_system(point) == KIND:
        reason = done.stderr.strip().removeprefix("fusermount3: ")
        hint = "; close what reads from it first" if "busy" in reason else ""
        raise MountError(f"{point} cannot be unmounted: {reason}{hint}")


def _whole(point: str) -> str:
    # realpath would fail at a mount whose server has died; islink only says no.
    point = os.path.abspath(point)
    if os.path.islink(point):
        return os.path.realpath(point)
    head, tail = os.path.split(point)
    return os.path.join(os.path.realpath(head), tail)


def _missing() -> str:
    if shutil.which("fusermount3") is None:
        return "fusermount3 is missing (Debian's package fuse3)"
    if not os.path.exists(_DEVICE):
        return f"{_DEVICE} is missing (a container needs --device {_DEVICE})"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"{_DEVICE} may not be used by this user"
    return ""
