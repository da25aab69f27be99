"""The page of `shardio-read report` in a real browser: `make test-browser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from reader.look.origins import Origins
from reader.look.page import page
from reader.look.rejects import read_rejects
from reader.look.survey import survey
from tests.browser.chromium import Browser, accessibility, chromium
from tests.reader.look.test_report import HOSTILE, hostile_set
from tests.reader.sets_of_images import write_images_set

pytestmark = pytest.mark.browser

SIZES = {"phone": (360, 740), "desktop": (1280, 800)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module", params=["hostile", "many classes"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    if request.param == "hostile":
        hostile_set(folder)
    else:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (900, 32, 64, 3), dtype=np.uint8)
        words = tuple(chr(0x4E00 + number) for number in range(900))
        write_images_set(
            folder, {"train": 800, "val": 100}, pixels, np.arange(900) % 700, vocabulary=words
        )
    shards = open_shards(folder, "*")
    file = folder / "report.html"
    text = page(survey(shards, lambda n: None), read_rejects(shards), Origins(shards))
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_whole_and_accessible(
    browser: Browser, report: Path, scheme: str, size: str
) -> None:
    with browser.page(report, scheme, SIZES[size]) as opened:
        opened.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        broken = opened.evaluate(
            "Promise.all([...document.images].map(i => i.decode().then(() => 0, () => 1)))"
            ".then(all => all.reduce((a, b) => a + b, 0))"
        )
        assert broken == 0
        assert opened.evaluate("document.images.length") > 24
        # Nothing but tables, each by itself, is wider than the screen.
        assert opened.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert accessibility(opened) == []


def shown(opened: Any) -> list[str]:
    found: list[str] = opened.evaluate(
        "[...document.querySelectorAll('#classes-0 > li:not([hidden])')]"
        ".map(item => item.dataset.words)"
    )
    return found


def test_classes_are_found_and_sorted_by_keyboard(browser: Browser, report: Path) -> None:
    with browser.page(report, "light", SIZES["desktop"]) as opened:
        opened.locator("summary", has_text="each with an image").focus()
        opened.keyboard.press("Enter")
        everything = shown(opened)
        opened.keyboard.press("Tab")
        opened.keyboard.type("3")
        # A number is a class, and not a part of others.
        assert [words.split(" ")[0] for words in shown(opened)] == ["3"]
        assert opened.locator("output").inner_text() == f"1 of {len(everything)} shown"
        opened.keyboard.press("Backspace")
        assert shown(opened) == everything
        opened.keyboard.press("Tab")
        opened.locator("select").select_option("number")
        numbers = [int(words.split(" ")[0]) for words in shown(opened)]
        assert numbers == sorted(numbers)
        opened.locator("select").select_option("rarest")
        counts = opened.evaluate(
            "[...document.querySelectorAll('#classes-0 > li')].map(i => +i.dataset.count)"
        )
        assert counts == sorted(counts)


def test_the_first_tab_skips_to_the_content(browser: Browser, report: Path) -> None:
    with browser.page(report, "light", SIZES["phone"]) as opened:
        opened.keyboard.press("Tab")
        assert opened.evaluate("document.activeElement.className") == "skip"
        opened.keyboard.press("Enter")
        assert opened.evaluate("location.hash") == "#main"


def test_labels_stand_as_they_are(browser: Browser, tmp_path: Path) -> None:
    hostile_set(tmp_path)
    shards = open_shards(tmp_path, "*")
    text = page(survey(shards, lambda n: None), read_rejects(shards), Origins(shards))
    (tmp_path / "report.html").write_text(text, "utf-8")
    with browser.page(tmp_path / "report.html", "light", SIZES["desktop"]) as opened:
        assert opened.evaluate("document.title") == HOSTILE[0]
        assert opened.locator("h1").inner_text() == HOSTILE[0]
        assert opened.evaluate("document.scripts.length") == 1


def test_an_injected_script_does_not_run(browser: Browser, report: Path, tmp_path: Path) -> None:
    """Were a text not escaped, the page's policy would still keep its script from running."""
    text = report.read_text("utf-8")
    bad = text.replace("</main>", "<script>document.title='owned'</script></main>", 1)
    assert bad != text
    (tmp_path / "report.html").write_text(bad, "utf-8")
    with browser.page(tmp_path / "report.html", "light", SIZES["desktop"], errors=1) as opened:
        assert opened.evaluate("document.title") != "owned"
