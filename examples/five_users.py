"""From images to a first epoch, as five users begin: two commands each.

    python examples/five_users.py data/five_users

draws a small set as each of them has it (photos in folders, captchas with the text in the file
name, a CSV, a Parquet file as Hugging Face writes it, an LMDB of text images), then converts it and
trains on it for an epoch. LMDB needs shardio's extra [lmdb].
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

IMAGES = 600
LETTERS = "ACEHKMNP"
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class User:
    """What someone has, and the options that the converter needs for it."""

    name: str
    table: str
    options: str
    make: Callable[[Path], None]


def picture(text: str, size: tuple[int, int], random: Random) -> bytes:
    """Draw a text somewhere in an image; returns a PNG file."""
    image = Image.new("RGB", size, (random.randrange(160, 256),) * 3)
    place = random.randrange(size[0] // 4), random.randrange(size[1] // 3)
    ImageDraw.Draw(image).text(place, text, fill=(random.randrange(80), 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def texts(length: Callable[[Random], int]) -> Iterator[tuple[int, str, Random]]:
    """Yield the number of each image, its text, and what else is random about it."""
    for number in range(IMAGES):
        random = Random(number)
        yield number, "".join(random.choices(LETTERS, k=length(random))), random


def photos(folder: Path) -> None:
    """Photos of many sizes, in a folder for each class."""
    for number, _, random in texts(lambda _: 1):
        kind = ("cats", "dogs", "horses")[number % 3]
        size = random.randrange(80, 160), random.randrange(80, 160)
        (folder / "photos" / kind).mkdir(parents=True, exist_ok=True)
        path = folder / "photos" / kind / f"IMG_{number:04d}.png"
        path.write_bytes(picture(kind, size, random))


def captchas(folder: Path) -> None:
    """Captchas whose text is in the name of the file."""
    (folder / "captchas").mkdir()
    for number, text, random in texts(lambda _: 4):
        path = folder / "captchas" / f"{text}_{number:04d}.png"
        path.write_bytes(picture(text, (96, 32), random))


def labels(folder: Path) -> None:
    """A CSV with the columns filename and text."""
    (folder / "images").mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["filename", "text"])
        for number, text, random in texts(lambda _: 4):
            rows.writerow([f"images/{number:04d}.png", text])
            image = picture(text, (128, 40), random)
            (folder / "images" / f"{number:04d}.png").write_bytes(image)


def hugging_face(folder: Path) -> None:
    """A Parquet file with the images in it, and the names of the classes in its schema."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {"bytes": picture(LETTERS[number % 8], (28, 28), random), "path": f"{number}.png"}
        for number, _, random in texts(lambda _: 1)
    ]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(LETTERS), "_type": "ClassLabel"},
    }
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    classes = pa.array([number % 8 for number in range(IMAGES)], pa.int64())
    table = pa.table({"image": pa.array(rows, kind), "label": classes})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    (folder / "letters").mkdir()
    parquet.write_table(
        table.replace_schema_metadata(metadata),
        folder / "letters" / "train-00000-of-00001.parquet",
    )


def text_images(folder: Path) -> None:
    """An LMDB of texts."""
    import lmdb

    with (
        lmdb.open(str(folder / "words"), map_size=1 << 28) as made,
        made.begin(write=True) as values,
    ):
        for number, text, random in texts(lambda _: 4):
            values.put(b"image-%09d" % (number + 1), picture(text, (100, 32), random))
            values.put(b"label-%09d" % (number + 1), text.encode())
        values.put(b"num-samples", b"%d" % IMAGES)


USERS = (
    User("photos", "photos", "--labels folder --text-labels --size 64x64", photos),
    User(
        "captchas",
        "captchas",
        "--name-pattern '(?P<text>[^_]+)_.*' --characters text",
        captchas,
    ),
    User("csv", "labels.csv", "--path-column filename --characters text", labels),
    User("parquet", "letters/train-*.parquet", "--labels label", hugging_face),
    User("lmdb", "words", "--characters label", text_images),
)


def run(command: str) -> None:
    """Run a command as it is printed."""
    print(f"$ {command}", flush=True)
    words = [sys.executable, *shlex.split(command)[1:]]
    subprocess.run(words, cwd=ROOT, check=True)


def main() -> None:
    """Draw, convert and train for each user."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the sets go; it must not be there yet")
    names = [user.name for user in USERS]
    parser.add_argument("--user", choices=names, help="one of them (default: all)")
    arguments = parser.parse_args()
    for user in USERS:
        if arguments.user not in (None, user.name):
            continue
        folder = arguments.folder.absolute() / user.name
        folder.mkdir(parents=True)
        user.make(folder)
        table, shards = (shlex.quote(str(folder / name)) for name in (user.table, "shards"))
        training = shlex.quote(str(folder / "training"))
        try:
            run(f"python -m converter {table} {shards} {user.options}")
            run(f"python examples/captcha/train.py {shards} --epochs 1 --out {training}")
        except subprocess.CalledProcessError as error:
            parser.exit(1, f"five_users: {user.name}: exit code {error.returncode}\n")


if __name__ == "__main__":
    main()
