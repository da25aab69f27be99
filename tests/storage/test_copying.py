"""A file that is copied while its digest is computed: all of it, or it is said to be cut."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from shardio.storage import storage_for
from shardio.storage.copying import copy, pieces_of, pieces_read


@pytest.mark.parametrize("piece", [1, 4096, 65536, 200_000, 300_000, 1 << 20])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_copied_in_any_pieces(tmp_path: Path, piece: int, more: int) -> None:
    size = 5 if piece == 1 else 700_000
    held = hashlib.shake_128(b"held").digest(size + more)
    pieces = [held[start : start + piece] for start in range(0, len(held), piece)]
    told: list[int] = []
    path = str(tmp_path / "copy")
    with storage_for(path).publish(path, attempt="test") as out:
        out.write(b"before")
        digest = copy(pieces, size, out, told.append)
    assert Path(path).read_bytes() == b"before" + held[:size]
    assert digest == (hashlib.sha256(held[:size]).hexdigest() if more >= 0 else "")
    assert sum(told) == len(held[:size])


@pytest.mark.parametrize("size", [0, 1, 256 << 10, 600_001])
def test_copied_from_a_file(tmp_path: Path, size: int) -> None:
    held = hashlib.shake_128(b"held").digest(size)
    (tmp_path / "file").write_bytes(held)
    with storage_for(str(tmp_path)).open_stream(str(tmp_path / "file")) as stream:
        out = io.BytesIO()
        assert copy(pieces_of(stream), size, out, len_of) == hashlib.sha256(held).hexdigest()
        assert out.getvalue() == held


def test_a_write_that_is_cut_goes_on() -> None:
    class Cut(io.BytesIO):
        """Takes a third of what it is given, as a disk that is nearly full may."""

        def write(self, data: object, /) -> int:
            view = memoryview(data)  # type: ignore[arg-type]
            return super().write(view[: len(view) // 3 + 1])

    held = hashlib.shake_128(b"held").digest(300_000)
    out = Cut()
    reader = io.BytesIO(held)
    pieces = pieces_read(lambda _, memory: reader.readinto(memory), 1 << 20)
    assert copy(pieces, len(held), out, len_of) == hashlib.sha256(held).hexdigest()
    assert out.getvalue() == held


def len_of(size: int) -> None:
    """Take what is told of the progress."""
