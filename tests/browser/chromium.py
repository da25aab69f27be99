"""A headless Chromium, driven by Playwright, and axe's check of accessibility.

`.ci/browser` installs them; without them the tests are skipped, or fail with CI=true.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# What a page is waited for; on a busy machine it takes long.
MILLISECONDS = 120_000
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Browser:
    """A browser, without network but for pages of this machine."""

    driven: Any

    @contextmanager
    def page(
        self, file: Path, scheme: str, size: tuple[int, int], *, errors: int = 0
    ) -> Iterator[Any]:
        """Open a file in a window of `size`; whatever the console says at the end is an error."""
        with self.opened(file.as_uri(), scheme, size, errors=errors) as opened:
            yield opened

    @contextmanager
    def opened(
        self, address: str, scheme: str, size: tuple[int, int], *, errors: int = 0
    ) -> Iterator[Any]:
        """Open an address likewise; what it loads from elsewhere than this machine fails."""
        width, height = size
        context = self.driven.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            offline=address.startswith("file:"),
        )
        context.set_default_timeout(MILLISECONDS)
        said: list[str] = []
        try:
            opened = context.new_page()
            opened.on("console", lambda message: said.append(message.text))
            opened.on("pageerror", lambda error: said.append(str(error)))
            opened.goto(address)
            yield opened
        finally:
            context.close()
        assert len(said) == errors, said


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    missing = [name for name in ("playwright", "axe_playwright_python") if not find_spec(name)]
    if program is None or missing:
        what = ", ".join([*([] if program else ["chromium"]), *missing])
        if os.environ.get("CI") == "true":
            pytest.fail(f"no browser to test with: {what} missing")
        pytest.skip(f"no browser to test with: {what} missing; see .ci/browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # As root Chromium needs to be told that it has no sandbox; it reads files of tests only.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        driven = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield Browser(driven)
        finally:
            driven.close()


def accessibility(opened: Any) -> list[str]:
    """Return what axe finds wrong with a page: the rule, and the first element that breaks it."""
    import axe_playwright_python

    script = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
    # Through the debugger, since the page's policy runs no script but its own.
    session = opened.context.new_cdp_session(opened)
    answer = session.send(
        "Runtime.evaluate",
        {"expression": f"{script};axe.run()", "awaitPromise": True, "returnByValue": True},
    )
    found = answer["result"]["value"]
    assert found["passes"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found["violations"]]
