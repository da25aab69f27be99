"""How fast shuffled batches come: shardio against the loaders that people use, in one run.

    python benchmarks/peers.py [--records 131072] [--rounds 5] [--only litdata,ffcv]

Each peer has an environment of its own, made by benchmarks/loaders/install.sh, and its best
settings that we found. All read the same samples, 32x128x3 and four labels, in batches of 128, from
the page cache, and each in a process of its own; they take turns. Every epoch's images and labels
are counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import made_shards
import numpy as np
from rounds import Way, measure, table

from reader import open_shards

HERE = Path(__file__).resolve().parent
PEERS = {
    "litdata": "litData",
    "dali": "NVIDIA DALI, CPU",
    "grain": "grain, ArrayRecord",
    "mosaicml": "MosaicML Streaming",
    "webdataset": "WebDataset",
    "huggingface": "Hugging Face datasets",
    "ffcv": "FFCV, RANDOM",
}
OURS = ("torch exact", "torch window", "numpy exact", "numpy exact unchecked")
BATCH = 128


class Peer:
    """A program that reads an epoch when it is told to."""

    def __init__(self, name: str, command: list[str], records: int, labels: int) -> None:
        self.name = name
        self._records = records
        self._labels = labels
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self) -> float:
        """Read an epoch; returns images a second."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        answer = json.loads(line)
        missed = self._records - answer["images"]
        # A loader may leave out the last batch, of each of its workers.
        if not 0 <= missed <= 4 * BATCH or (missed == 0 and answer["labels"] != self._labels):
            raise RuntimeError(f"{self.name} read other samples: {answer}")
        return float(answer["images"] / answer["seconds"])

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.communicate()


def write_samples(shards: str, folder: Path) -> int:
    """Write what all peers store: two arrays; returns the sum of the labels."""
    opened = open_shards(shards)
    if not (folder / "labels.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        images = np.lib.format.open_memmap(
            folder / "images.npy", "w+", np.uint8, (len(opened), 32, 128, 3)
        )
        labels = np.empty((len(opened), 4), np.int64)
        at = 0
        for x, y in opened.batches(BATCH, shuffle="none", dtype="uint8", drop_remainder=False):
            images[at : at + len(x)] = x
            labels[at : at + len(x)] = np.stack(y, axis=1)
            at += len(x)
        np.save(folder / "labels.npy", labels)
    return int(np.load(folder / "labels.npy").sum())


def main() -> None:
    """Install, prepare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PEERS), help="peers, between commas")
    parser.add_argument("--shards", type=Path, default=Path("data/bench"))
    parser.add_argument("--folder", type=Path, default=Path("data/peers"))
    arguments = parser.parse_args()
    made_shards.make(arguments.shards, arguments.records)
    shards = str(arguments.shards)
    samples = arguments.folder / "samples"
    labels = write_samples(f"{shards}/train-*.tfrecord", samples)
    subprocess.run([sys.executable, "-m", "reader", "index", "--beside", shards], check=True)
    with ExitStack() as stack:
        ways = []

        def add(title: str, name: str, python: Path, *extra: str) -> None:
            folder = arguments.folder / name / f"data-{arguments.records}"
            program = str(HERE / "loaders" / f"{name}.py")
            command = [str(python), program, str(samples), str(folder), shards, *extra]
            peer = Peer(title, command, arguments.records, labels)
            stack.callback(peer.close)
            try:
                peer.run()
            except RuntimeError as error:
                print(f"{title}: left out, {error}", file=sys.stderr)
                return
            ways.append(Way(title, partial(peer.run)))

        for kind in OURS:
            add(f"shardio, {kind}", "shardio", Path(sys.executable), kind)
        for name in filter(None, arguments.only.split(",")):
            venv = arguments.folder / name / "venv"
            install = ["bash", str(HERE / "loaders" / "install.sh"), name, str(venv)]
            if subprocess.run(install).returncode:
                print(f"{PEERS[name]}: left out, it could not be installed", file=sys.stderr)
                continue
            add(PEERS[name], name, venv / "bin" / "python")
        print(table(measure(ways, arguments.rounds), ways[0].name))


if __name__ == "__main__":
    main()
