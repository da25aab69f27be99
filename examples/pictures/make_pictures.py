"""Make the pictures of the README from the demo's captchas: docs/pictures.

    bash .ci/browser .venv/bin/python   # Chromium, for the picture of the page
    python examples/pictures/make_pictures.py

The captchas are made in a folder that is gone at the end.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
BOX = ("--crop", "186,0,300,30", "--size", "128x32")
TEXTS = ("--characters", "text")
COLOURS = 128
PAGE = (1000, 1180)


def run(folder: Path, *words: str) -> None:
    """Run a command in a folder."""
    subprocess.run([sys.executable, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def save(picture: Image.Image, name: str) -> None:
    """Write a picture with few colours, which is small."""
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / name
    few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, "PNG", optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def with_texts(folder: Path) -> None:
    """Write the demo's table with the characters themselves as labels."""
    words = (folder / "classes.txt").read_text("utf-8").split()
    with (
        (folder / "labels.csv").open(newline="") as labels,
        (folder / "text.csv").open("w", newline="", encoding="utf-8") as texts,
    ):
        writer = csv.writer(texts)
        writer.writerow(["path", "text"])
        for row in csv.DictReader(labels):
            text = "".join(words[int(row[f"y{place}"])] for place in range(4))
            writer.writerow([row["path"], text])


def screenshot(page: Path) -> Image.Image:
    """Return how a browser shows a page from its findings on."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser: Any = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        width, height = PAGE
        opened = browser.new_page(viewport={"width": width, "height": height})
        opened.goto(page.as_uri())
        top = opened.evaluate("document.getElementById('findings').getBoundingClientRect().top")
        clip = {"x": 0, "y": top, "width": width, "height": height}
        data = opened.screenshot(full_page=True, clip=clip)
        browser.close()
    return Image.open(BytesIO(data))


def main() -> None:
    """Make them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "captcha"
        demo = str(ROOT / "examples" / "captcha" / "make_captchas.py")
        run(Path(name), demo, "captcha", "--images", "2000", "--broken", "0.005")
        with_texts(folder)
        shown = ("--n", "4", "-o", "before.png")
        run(folder, "-m", "converter", "show", "text.csv", *BOX, *TEXTS, *shown)
        split = ("--split", "train=0.9,val=0.1", "--metadata", "name=Demo captchas")
        run(folder, "-m", "converter", "text.csv", "shards", *BOX, *TEXTS, *split)
        run(folder, "-m", "reader", "show", "shards", "--n", "20", "-o", "sheet.png")
        run(folder, "-m", "reader", "report", "shards", "-o", "report.html")
        for file in ("before.png", "sheet.png"):
            with Image.open(folder / file) as picture:
                save(picture, file)
        save(screenshot(folder / "report.html"), "report.png")


if __name__ == "__main__":
    main()
