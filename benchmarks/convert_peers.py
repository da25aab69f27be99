"""How fast images are converted: shardio against what people use for it, in one run.

    python benchmarks/convert_peers.py [--images 8000] [--rounds 5]

All have two processes and the same pillow-simd. Each peer has an environment of its own, made by
benchmarks/loaders/install.sh. Each run is a process of its own; imports are not counted, but the
start of workers is. The images are in the page cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from made_images import KINDS, write_images
from rounds import Way, measure, table

HERE = Path(__file__).resolve().parent
PEERS = {
    "pool": "Pool, TFRecordWriter",
    "mosaicml": "MosaicML MDSWriter",
    "litdata": "litData optimize",
}


def run(command: list[str], folder: Path, images: int) -> float:
    """Run a program that writes to a new folder and prints its seconds; returns images a second."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [*command, f"{out}/out"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return images / float(done.stdout.split()[-1])


def installed(name: str, folder: Path) -> Path | None:
    """Make the environment of a peer; returns its Python."""
    if name == "pool":
        return Path(sys.executable)
    venv = folder / name / "venv"
    if subprocess.run(["bash", str(HERE / "loaders" / "install.sh"), name, str(venv)]).returncode:
        print(f"{PEERS[name]}: left out, it could not be installed", file=sys.stderr)
        return None
    return venv / "bin" / "python"


def main() -> None:
    """Install, draw the images, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PEERS), help="peers, between commas")
    parser.add_argument("--images-folder", type=Path, default=Path("data/bench-images"))
    parser.add_argument("--folder", type=Path, default=Path("data/peers"))
    arguments = parser.parse_args()
    pythons = {name: installed(name, arguments.folder) for name in arguments.only.split(",")}
    for kind in KINDS:
        images = arguments.images if kind.name != "large-jpeg" else arguments.images // 8
        folder = arguments.images_folder / f"{kind.name}-{images}"
        labels = write_images(folder, kind, images)
        place = arguments.images_folder
        ours = [sys.executable, str(HERE / "convert.py"), "--only", "2", str(labels)]
        ways = [Way("shardio, 2 workers", partial(run, ours, place, images))]
        for name, python in pythons.items():
            if python is not None:
                program = str(HERE / "converters" / f"{name}.py")
                command = [str(python), program, str(labels)]
                ways.append(Way(PEERS[name], partial(run, command, place, images)))
        print(f"{images} images, {kind.title}")
        print(table(measure(ways, arguments.rounds), ways[0].name))


if __name__ == "__main__":
    main()
