"""The code that the summary ends with runs as it stands there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter import ConvertOptions, convert
from tests.converter.inputs import write_csv, write_images

KINDS = {
    "integers": ConvertOptions(shards=1),
    "a sequence": ConvertOptions(shards=1, sequences=(("text", 6),)),
    "floats": ConvertOptions(shards=1, float_labels=("score",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_step_gives_batches(kind: str, tmp_path: Path) -> None:
    names = write_images(tmp_path, 5)
    rows = [[name, row, "ab" * (row % 3 + 1), row / 7] for row, name in enumerate(names)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "text", "score"], rows)
    summary = convert(str(table), str(tmp_path / "out"), KINDS[kind], engine="inline")
    imports, made = summary.next_step().removeprefix("in Python: ").split("; ")
    scope: dict[str, object] = {}
    exec(imports, scope)
    images, *_ = next(iter(eval(made, scope)))
    assert np.asarray(images).shape[0] == 5
