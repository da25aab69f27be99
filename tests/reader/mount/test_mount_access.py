"""A mount shows nothing outside its folder, and to nobody more than the folder itself would."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reader.mounts import Mount, need_fuse

OTHER = 65534
SECONDS = 60
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be other users too")

# Prints what a user can read below some folders.
LOOK = """
import json, os, sys
uid, gid, *groups = json.loads(sys.argv[1])
if os.getuid() == 0:
    os.setgroups(groups); os.setgid(gid); os.setuid(uid)
def look(top):
    found = {}
    def into(path):
        try: found[path] = sorted(os.listdir(os.path.join(top, path)))
        except OSError as error: found[path] = None
        for name in NAMES:
            name = os.path.join(path, name)
            whole = os.path.join(top, name)
            if os.path.isdir(whole): into(name)
            else:
                try: found[name] = open(whole).read()
                except OSError: found[name] = None
    into("")
    return found
NAMES = json.loads(sys.argv[2])
print(json.dumps([look(top) for top in sys.argv[3:]]))
"""


def look(who: list[int], names: list[str], *folders: Path) -> list[dict[str, object]]:
    """Return, for each folder, what a user with these ids can list and read."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(who), json.dumps(names), *map(str, folders)],
        capture_output=True, text=True, timeout=SECONDS, cwd="/", check=True,
    )  # fmt: skip
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.fixture(autouse=True)
def fuse_is_there() -> None:
    need_fuse()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "source").mkdir()
        yield Path(folder)


@pytest.fixture
def mount(place: Path) -> Iterator[Callable[..., Mount]]:
    made: list[Mount] = []

    def mount(*options: str, url: object = None) -> Mount:
        made.append(Mount(url or place / "source", place / f"point{len(made)}", *options))
        return made[-1]

    yield mount
    for one in made:
        one.take_away()


def test_links_show_what_lies_within_and_nothing_else(
    place: Path, mount: Callable[..., Mount]
) -> None:
    source = place / "source"
    (source / "sub").mkdir()
    (source / "sub/file").write_bytes(b"within")
    (place / "secret").write_bytes(b"a secret")
    for name, target in {
        "in": "sub/file",
        "in-whole": f"{source}/sub/file",
        "in-folder": "sub",
        "out": "../secret",
        "out-whole": f"{place}/secret",
        "out-folder": "/",
        "sub/out": "../../secret",
        "nowhere": "none",
        "loop": "loop",
    }.items():
        (source / name).symlink_to(target)
    point = mount().point
    assert sorted(os.listdir(point)) == ["in", "in-folder", "in-whole", "sub"]
    assert os.listdir(point / "sub") == ["file"]
    for name in ("in", "in-whole", "in-folder/file"):
        assert (point / name).read_bytes() == b"within"
    for name in ("out", "out-whole", "out-folder", "out-folder/etc", "sub/out", "nowhere", "loop"):
        assert not (point / name).exists()
        with pytest.raises(FileNotFoundError):
            (point / name).read_bytes()


def test_a_link_that_comes_after_the_listing_is_not_followed(
    place: Path, mount: Callable[..., Mount]
) -> None:
    file = place / "source/file"
    file.write_bytes(b"within")
    (place / "secret").write_bytes(b"secret")
    point = mount().point
    assert (point / "file").read_bytes() == b"within"
    file.unlink()
    file.symlink_to("../secret")
    with pytest.raises(FileNotFoundError):
        (point / "file").read_bytes()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_modes_and_owners_are_those_of_the_folder(
    place: Path, mount: Callable[..., Mount], scheme: str
) -> None:
    modes = {"file": 0o600, "program": 0o755, "open": 0o666, "closed": 0o000, "special": 0o6755}
    for name, mode in modes.items():
        (place / "source" / name).write_bytes(b"x")
        (place / "source" / name).chmod(mode)
    (place / "source/folder").mkdir(0o750)
    if os.getuid() == 0:
        os.chown(place / "source/file", 12, 34)
    point = mount(url=f"{scheme}{place}/source").point
    for name in [*modes, "folder", ""]:
        mine, theirs = (place / "source" / name).stat(), (point / name).stat()
        assert stat.S_IFMT(theirs.st_mode) == stat.S_IFMT(mine.st_mode)
        assert stat.S_IMODE(theirs.st_mode) == stat.S_IMODE(mine.st_mode) & 0o555
        assert (theirs.st_uid, theirs.st_gid) == (mine.st_uid, mine.st_gid)


NAMES = ["all", "mine", "group", "theirs", "inner", "x", "r"]


@needs_root
@pytest.mark.parametrize("who", [[OTHER, OTHER], [1234, OTHER], [1234, 5678], [1234, 1, 5678]])
def test_others_can_read_what_they_could_read_without_the_mount(
    place: Path, mount: Callable[..., Mount], who: list[int]
) -> None:
    source = place / "source"
    files = {
        "all": (0o644, 0, 0),
        "mine": (0o600, 0, 0),
        "group": (0o640, 0, 5678),
        "theirs": (0o400, OTHER, 0),
    }
    folders = {"": 0o755, "inner": 0o755, "x": 0o711, "r": 0o744, "inner/x": 0o750}
    for folder, mode in folders.items():
        (source / folder).mkdir(exist_ok=True)
        for name, (bits, uid, gid) in files.items():
            (source / folder / name).write_bytes(name.encode())
            (source / folder / name).chmod(bits)
            os.chown(source / folder / name, uid, gid)
        (source / folder).chmod(mode)
    os.chown(source / "inner/x", 0, 5678)
    point = mount("--allow-other").point
    direct, mounted = look(who, NAMES, source, point)
    assert mounted == direct
    assert direct["all"] == "all"
    assert direct["mine"] is None


@needs_root
def test_a_file_that_is_closed_is_closed_to_others_at_once(
    place: Path, mount: Callable[..., Mount]
) -> None:
    file = place / "source/all"
    file.write_bytes(b"all")
    point = mount("--allow-other").point
    assert look([OTHER, OTHER], ["all"], point)[0]["all"] == "all"
    file.chmod(0o600)
    assert look([OTHER, OTHER], ["all"], point)[0]["all"] is None


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o710, 0o750, 0o701])
def test_what_a_folder_above_keeps_out_stays_out(
    place: Path, mount: Callable[..., Mount], mode: int
) -> None:
    source = place / "above/source"
    source.mkdir(parents=True)
    (source / "all").write_bytes(b"all")
    os.chown(place / "above", 0, 5678)
    (place / "above").chmod(mode)
    made = mount("--allow-other", url=source)
    for who in ([OTHER, OTHER], [OTHER, 5678]):
        direct, mounted = look(who, ["all"], source, made.point)
        assert direct["all"] is not None or mounted["all"] is None
    assert (made.point / "all").read_bytes() == b"all"
    _, said = made.end()
    assert "a folder above it is closed to them" in said


@needs_root
def test_a_mount_of_one_user_is_not_for_others(place: Path, mount: Callable[..., Mount]) -> None:
    (place / "source/all").write_bytes(b"all")
    assert look([OTHER, OTHER], ["all"], mount().point)[0]["all"] is None


def test_the_link_that_is_mounted_is_followed(place: Path, mount: Callable[..., Mount]) -> None:
    (place / "source/all").write_bytes(b"all")
    (place / "link").symlink_to("source")
    assert (mount(url=place / "link").point / "all").read_bytes() == b"all"
