"""Installs a distribution `pillow` without files beside pillow-simd, which has those of Pillow.

    python .ci/pillow_stand_in.py

Packages such as tensorboard require `pillow`. Without a distribution of that name pip would put
Pillow's files over those of pillow-simd. This one has the version of pillow-simd, and requires it.
"""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

METADATA = """\
Metadata-Version: 2.1
Name: pillow
Version: {version}
Summary: Stands in for Pillow where pillow-simd is installed; made by shardio's set-up
Requires-Dist: pillow-simd=={simd}
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: shardio
Root-Is-Purelib: true
Tag: py3-none-any
"""


def write_wheel(folder: Path, simd: str) -> Path:
    """Write the wheel of a stand-in for pillow-simd of version `simd`."""
    version = f"{simd}+simd"
    info = f"pillow-{version}.dist-info"
    files = {
        f"{info}/METADATA": METADATA.format(version=version, simd=simd),
        f"{info}/WHEEL": WHEEL,
    }
    record = "".join(
        f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items()
    )
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"pillow-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def main() -> None:
    """Install the stand-in, unless it is there."""
    simd = version("pillow-simd")
    try:
        there = version("pillow")
    except PackageNotFoundError:
        there = ""
    if there == f"{simd}+simd":
        return
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    if there:
        # Its files are those of pillow-simd too, which is to be installed again afterwards.
        subprocess.run([*pip, "uninstall", "-y", "pillow"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = write_wheel(Path(folder), simd)
        subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)


if __name__ == "__main__":
    main()
