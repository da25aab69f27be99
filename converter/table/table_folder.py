"""The folder that a table lies in, which its paths are relative to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from converter.table.inputs import STANDARD_INPUT, TableInput, is_folder
from converter.table.paths.kinds import SAMPLES
from converter.table.paths.locations import leaves
from shardio.errors import TableError
from shardio.storage.paths import is_local
from shardio.storage.search import is_glob, is_there

_SHOWN = 3


def folder_below(given: Sequence[str], root: str) -> str | None:
    """Return the folder of all tables where it is another one than a local root, and below it."""
    folders = {_folder(name) for name in given}
    folder = folders.pop()
    if folders or not is_local(folder) or not is_local(root):
        return None
    inner = os.path.relpath(folder, root)
    return None if inner == "." or leaves(f"{inner}/") else folder


def folder_of_all(given: Sequence[str], inputs: Sequence[TableInput]) -> str:
    """Return the folder that paths are relative to; TableError where the tables lie in several.

    Where the images are in the files themselves it is the one that all of these are below.
    """
    if inputs[0].kind in SAMPLES:
        # Of URLs, too.
        common = os.path.commonprefix([file.location for file in inputs])  # noqa: RUF071
        return common[: common.rfind("/") + 1] or "."
    folders = {_folder(name) for name in given}
    if len(folders) > 1:
        shown = ", ".join(sorted(folders)[:_SHOWN])
        raise TableError(
            f"the tables lie in several folders ({shown}); --root says which one the paths of all "
            "are relative to"
        )
    return folders.pop()


def _folder(name: str) -> str:
    if name == STANDARD_INPUT:
        return "."
    if is_glob(name) and not is_there(name):
        magic = re.search(r"[*?\[]", name)
        assert magic is not None
        name = name[: magic.start()]
        return name[: name.rfind("/") + 1] or "."
    if is_folder(name):
        return name
    return name[: name.rfind("/") + 1] or "."
