"""Set-up's distribution `pillow`, which has no files and stands beside pillow-simd."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "pillow_stand_in.py"


def test_pip_installs_it_without_any_file_of_pillow(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("pillow_stand_in", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wheel = module.write_wheel(tmp_path, "12.1.1.post0")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--target", site, wheel], check=True)
    (found,) = distributions(path=[str(site)])
    assert (found.metadata["Name"], found.version) == ("pillow", "12.1.1.post0+simd")
    assert found.requires == ["pillow-simd==12.1.1.post0"]
    assert {path.parts[0] for path in found.files or ()} == {"pillow-12.1.1.post0+simd.dist-info"}
    assert [path.name for path in site.iterdir()] == ["pillow-12.1.1.post0+simd.dist-info"]
