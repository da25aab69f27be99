"""records.parquet is read by the thread that asks: a thread of Arrow's own could outlive Python.

Such a thread gives up what it read from a file of Python's when it gets to it. Where the
interpreter is at its end by then, the process aborts, after all was done.
"""

from __future__ import annotations

from pathlib import Path

from converter import ConvertOptions, convert
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images
from tests.reader.processes import run

READ = """
import json, os, sys
import pyarrow.parquet
from reader import open_shards
from reader.sets import records_table

def threads():
    return len(os.listdir("/proc/self/task"))

shards = open_shards(sys.argv[1])
before, read = threads(), []
opened = records_table.opened
def counted(path):
    read.append(path)
    return opened(path)
records_table.opened = counted
shards.labels_of("y0")
shards.table()
records_table.paths_of(shards.manifest, shards.shards, shards.labels_of("row") * 0)
print(json.dumps([len(read), threads() - before]))
"""


def test_labels_table_and_paths_are_read_without_threads_of_arrow(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images", 10, (20, 10))
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"images/{n}", 1] for n in names])
    convert(
        str(table),
        str(tmp_path / "out"),
        ConvertOptions(transform=Transform(None, (8, 4))),
        engine="inline",
    )
    read, started = run(READ, tmp_path / "out")
    assert read >= 3
    assert started == 0
