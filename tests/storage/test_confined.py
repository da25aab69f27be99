"""Wherever links lead, nothing that lies out of the folder is seen or read."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.errors import MissingFileError, StorageError, UnusableFileError
from shardio.storage import Storage
from shardio.storage.chooser import confined_to

SECRET = b"a secret"
NAMES = ["a", "b", "c", "sub/a", "sub/b", "sub/deep/c"]
TARGETS = [
    *("a", "b", "c", "sub", "sub/a", "deep/c", "../a", "../b", "sub/deep", "nowhere", ".", ".."),
    *(
        "../secret",
        "../../secret",
        "../../../secret",
        "sub/../../secret",
        "/",
        "/etc",
        "../outside",
    ),
    *("/HERE/folder/a", "/HERE/folder/sub", "/HERE/secret", "/HERE/folder/../secret"),
    *("/HERE/folder-beside/secret", "../folder-beside"),
]


@given(links=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(TARGETS)))
@settings(max_examples=150, deadline=None)
def test_a_path_gives_what_it_leads_to_below_the_folder_and_nothing_else(
    links: dict[str, str],
) -> None:
    with tempfile.TemporaryDirectory() as here:
        here = os.path.realpath(here)
        folder = f"{here}/folder"
        for secret in ("", "outside/", "folder-beside/"):
            os.makedirs(f"{here}/{secret}", exist_ok=True)
            Path(f"{here}/{secret}secret").write_bytes(SECRET)
        os.makedirs(f"{folder}/sub/deep")
        for name in NAMES:
            path = Path(folder, name)
            if name in links:
                path.symlink_to(links[name].replace("/HERE", here))
            else:
                path.write_bytes(name.encode())
        storage = confined_to(folder)
        for name in [
            *NAMES,
            "sub",
            "a/secret",
            "b/a",
            "sub/a/b",
            "sub/b/secret",
            "../secret",
            "..",
        ]:
            path_text = f"{folder}/{name}"
            real = os.path.realpath(path_text)
            inside = real == folder or real.startswith(f"{folder}/")
            if not inside or not os.path.exists(path_text) or os.path.isdir(path_text):
                with pytest.raises((MissingFileError, UnusableFileError)):
                    storage.read_file(path_text, 1000)
            else:
                assert storage.read_file(path_text, 1000) == Path(path_text).read_bytes() != SECRET
            if inside and os.path.exists(path_text):
                assert storage.stat(path_text).is_folder == os.path.isdir(path_text)
            else:
                with pytest.raises((MissingFileError, UnusableFileError)):
                    storage.stat(path_text)
            if inside and os.path.isdir(path_text):
                listed = {os.path.basename(info.path) for info in storage.list(path_text)}
                wanted = {
                    entry
                    for entry in os.listdir(path_text)
                    if os.path.exists(f"{path_text}/{entry}")
                    and f"{os.path.realpath(f'{path_text}/{entry}')}/".startswith(f"{folder}/")
                }
                assert listed == wanted
            else:
                with suppress(UnusableFileError):
                    assert storage.list(path_text) == []


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_link_that_is_swapped_in_meanwhile_is_never_followed(
    tmp_path: Path, swapped: str
) -> None:
    """Another process swaps all the time what lies inside for a link out, and back."""
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "real").mkdir(parents=True)
    (folder / "real/x").write_bytes(b"mine")
    outside.mkdir()
    (outside / "x").write_bytes(SECRET)
    name = folder / ("x" if swapped == "file" else "sub")
    mine, theirs = folder / "mine", folder / "theirs"
    target = outside / ("x" if swapped == "file" else "")
    path = name if swapped == "file" else name / "x"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            if swapped == "file":
                mine.write_bytes(b"mine")
                os.replace(mine, name)
            else:
                shutil.copytree(folder / "real", mine)
                os.rename(mine, name)
            theirs.symlink_to(target)
            if swapped == "folder":
                os.rename(name, mine)
            os.replace(theirs, name)
            if swapped == "folder":
                shutil.rmtree(mine)
                os.unlink(name)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        assert _read_all(confined_to(str(folder)), str(path), 3000) == {b"mine"}
    finally:
        stop.set()
        swapper.join()


def _read_all(storage: Storage, path: str, times: int) -> set[bytes]:
    """Read a file in each way, many times, and until it was there once; returns what was found."""
    found: set[bytes] = set()
    for turn in count():
        if turn >= times and found:
            break
        with suppress(StorageError):
            found.add(storage.read_file(path, 100))
        with suppress(StorageError), storage.open_stream(path) as stream:
            found.add(stream.read())
        with suppress(StorageError):
            assert storage.stat(path).size == len(b"mine")
        with suppress(StorageError):
            assert all(info.size != len(SECRET) for info in storage.list(os.path.dirname(path)))
    return found


def test_a_file_with_an_access_control_list_is_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"")
    file.chmod(0o644)
    storage = confined_to(str(tmp_path))
    found = storage.stat(str(file)).access
    assert found is not None
    assert found.mode == 0o644
    # A user of no name may not read it, though others may: `setfacl -m u:65534:--- x`.
    entries = [(1, 6, -1), (2, 0, 65534), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
    data = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little")
        + bits.to_bytes(2, "little")
        + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, bits, who in entries
    )
    try:
        os.setxattr(file, "system.posix_acl_access", data)
    except OSError as error:
        pytest.skip(f"the file system of {tmp_path} takes no access control lists: {error}")
    found = storage.stat(str(file)).access
    assert found is not None
    assert found.mode == 0o600
