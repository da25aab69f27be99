"""Names with braces stand for what a shell makes of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.errors import OptionError
from shardio.storage.search import expanded

_PARTS = st.sampled_from(["a", "-", "{a,b}", "{,x}", "{1..3}", "{08..11}", "{0..0}", "{a}", "{}"])


@settings(max_examples=30, deadline=None)
@given(st.lists(_PARTS, min_size=1, max_size=4).map("".join))
def test_it_is_what_a_shell_makes_of_it(name: str) -> None:
    shell = subprocess.run(
        ["bash", "-c", f'printf "%s\\n" x{name}'], capture_output=True, text=True, check=True
    )
    assert list(expanded(f"x{name}")) == shell.stdout.splitlines()


def test_a_name_that_is_there_is_meant(tmp_path: Path) -> None:
    name = f"{tmp_path}/a{{1,2}}"
    assert list(expanded(name)) == [f"{tmp_path}/a1", f"{tmp_path}/a2"]
    Path(name).touch()
    assert list(expanded(name)) == [name]


def test_too_many_names_are_refused() -> None:
    with pytest.raises(OptionError, match="1,000,000 is the most"):
        list(expanded("a{0..99999999}"))
