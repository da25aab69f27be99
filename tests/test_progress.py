"""Progress on a terminal, and in a log."""

from __future__ import annotations

import io
import sys

import pytest

from shardio import progress as module
from shardio.progress import progress


def test_a_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(40, "records") as told:
        told(10)
        told(30)
    with progress(2_000_000, "B") as told:
        told(500_000)
    first, second, third = stream.getvalue().splitlines()
    assert first.startswith("10 records of 40 records (25%), ")
    assert second.startswith("40 records of 40 records (100%), ")
    assert third.startswith("0.5 MB of 2.0 MB (25%), ")


def test_what_is_done_soon_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(2, "records") as told:
        told(2)
    with progress(0, "B"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(40, "records") as told:
        told(40)
    assert "100%" in stream.getvalue()
    assert "40/40" in stream.getvalue()
