"""Working beside a checkout, where a folder has the name of one of the packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_folders_in_the_working_directory_do_not_hide_the_packages(tmp_path: Path) -> None:
    for package in ("converter", "reader", "shardio"):
        (tmp_path / package / "examples").mkdir(parents=True)
    code = "import converter.options, reader.dataset, shardio.examples.example"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
