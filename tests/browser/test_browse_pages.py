"""The pages of `shardio-read browse` in a real browser: `make test-browser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reader import open_shards
from shardio.format.row_list import parse_row_list
from tests.browser.chromium import MILLISECONDS, Browser, accessibility, chromium
from tests.reader.browse.sites import FOLDER, TEXTS, hostile_set, served

pytestmark = pytest.mark.browser

SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
PAGES = {"records": "", "found": "?text=script&sort=rarest&label=y0&value=猫", "record": "record/7"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_set(tmp_path_factory.mktemp("browse"))


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(folder, cache=folder.parent / "cache") as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", PAGES)
def test_pages_are_whole_and_accessible(
    browser: Browser, address: str, page: str, size: str, scheme: str
) -> None:
    with browser.opened(address + PAGES[page], scheme, SIZES[size]) as opened:
        broken = opened.evaluate(
            "Promise.all([...document.images].map(i => i.decode().then(() => 0, () => 1)))"
            ".then(all => all.reduce((a, b) => a + b, 0))"
        )
        assert broken == 0
        assert opened.evaluate("document.images.length") >= 1
        assert opened.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert opened.evaluate("document.title") == TEXTS[0]
        assert opened.evaluate("document.scripts.length") == 1
        assert accessibility(opened) == []


def wait_for_text(locator: Any, text: str) -> None:
    """Wait until the page's script has written a text."""
    from playwright.sync_api import expect

    expect(locator).to_have_text(text, timeout=MILLISECONDS)


def test_marked_rows_are_downloaded_and_dropped(
    browser: Browser, address: str, folder: Path, tmp_path: Path
) -> None:
    with browser.opened(address, "light", SIZES["desktop"]) as opened:
        count = opened.locator(".marks output")
        wait_for_text(count, "0 marked")
        opened.locator("[data-mark]").nth(3).focus()
        opened.keyboard.press("Space")
        wait_for_text(count, "1 marked")
        # Marks stay from page to page.
        opened.get_by_role("link", name="Next", exact=True).click()
        wait_for_text(count, "1 marked")
        opened.get_by_role("button", name="Mark this page").click()
        wait_for_text(count, "49 marked")
        opened.goto(f"{address}record/3")
        box = opened.locator("[data-mark]")
        assert box.is_checked()
        opened.goto(f"{address}?page=2")
        with opened.expect_download() as told:
            opened.get_by_role("button", name="Download the list").click()
        told.value.save_as(tmp_path / "rows.csv")
        opened.get_by_role("button", name="Unmark all").click()
        wait_for_text(count, "0 marked")
    listed = parse_row_list((tmp_path / "rows.csv").read_bytes(), "rows.csv")
    assert len(listed) == 49
    assert all(row.path is not None and row.path.startswith(FOLDER) for row in listed)
    shards = open_shards(folder, "*")
    kept = shards.drop(rows=tmp_path / "rows.csv")
    rows = shards.labels_of("row")
    assert sorted(row.row for row in listed) == sorted([rows[3], *rows[48:96]])
    assert len(kept) == len(shards) - 49


def test_records_are_found_by_keyboard(browser: Browser, address: str) -> None:
    with browser.opened(address, "light", SIZES["desktop"]) as opened:
        opened.keyboard.press("Tab")
        assert opened.evaluate("document.activeElement.className") == "skip"
        opened.get_by_label("Text in path or label").focus()
        opened.keyboard.type("0042")
        opened.keyboard.press("Enter")
        opened.wait_for_url("**text=0042*")
        assert opened.locator("p[role=status]").inner_text().startswith("Records 1 to 1 of 1, ")
        opened.locator(".images a").focus()
        opened.keyboard.press("Enter")
        opened.wait_for_url("**/record/*")
        assert "0042" in opened.locator("dl").inner_text()
        here = opened.url
        opened.keyboard.press("ArrowRight")
        opened.wait_for_url(lambda url: url != here)
        opened.keyboard.press("ArrowLeft")
        opened.wait_for_url(here)


def test_a_class_leads_to_all_that_have_it(browser: Browser, address: str) -> None:
    with browser.opened(f"{address}record/7", "light", SIZES["desktop"]) as opened:
        opened.locator("dd a").first.click()
        opened.wait_for_url("**label=y0*")
        first = opened.locator("select[name=label]").first
        assert first.input_value() == "y0"
        assert opened.locator("input[name=value]").first.input_value() in TEXTS
        opened.get_by_label("Order").select_option("dark")
        opened.get_by_role("button", name="Show").click()
        opened.wait_for_url("**sort=dark*")
        assert "darkest first" in opened.locator("p[role=status]").inner_text()


def test_an_injected_script_does_not_run(browser: Browser, address: str) -> None:
    """Were a text not escaped, the policy would still keep its script from running."""
    with browser.opened(address, "light", SIZES["desktop"], errors=1) as opened:
        with opened.expect_console_message():
            opened.evaluate(
                "() => { const s = document.createElement('div');"
                's.innerHTML = \'<img src="data:," onerror="document.title=1">\';'
                "document.body.append(s) }"
            )
        assert opened.evaluate("document.title") == TEXTS[0]


def test_pictures_of_the_pages(
    browser: Browser, address: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """For whoever looks at them: in the folder of this run."""
    for page, path in PAGES.items():
        for size, shape in SIZES.items():
            for scheme in ("light", "dark"):
                with browser.opened(address + path, scheme, shape) as opened:
                    file = tmp_path_factory.getbasetemp() / f"{page}-{size}-{scheme}.png"
                    opened.screenshot(path=file)
                    assert file.stat().st_size > 5_000
