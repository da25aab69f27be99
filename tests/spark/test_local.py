"""Spark without a cluster: the same files as in one process, or a clear end."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from converter import ConvertOptions, Summary, convert
from converter.engines import engine_for
from converter.engines.protocol import NoProgress
from converter.engines.spark.session import end_spark
from shardio.errors import OptionError, StorageError
from tests.converter.inputs import (
    BOXED,
    BOXED_OPTIONS,
    contents,
    environment,
    run,
    write_csv,
    write_images,
)

# py4j leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parents[2]
OPTIONS = ConvertOptions(transform=BOXED, shards=7)


@pytest.fixture(scope="module")
def spark(spark_is_there: None) -> Iterator[Any]:
    """A context of the caller, in which each task is tried twice."""
    from pyspark import SparkConf, SparkContext

    conf = SparkConf().setMaster("local[2,2]").setAppName("tests").set("spark.ui.enabled", "false")
    conf.set("spark.ui.showConsoleProgress", "false").set("spark.log.level", "OFF")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        context = SparkContext(conf=conf)
        yield context
        end_spark(context)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with splits, and two images of a hundred that cannot be used."""
    folder = tmp_path_factory.mktemp("input")
    names = write_images(folder / "images", 9)
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG")
    rows: list[list[object]] = [
        [f"images/{names[row % 9]}", row % 5, "val" if row % 9 == 3 else "train"]
        for row in range(98)
    ]
    rows[40:40] = [["images/none.png", 1, "train"], ["images/broken.png", 2, "train"]]
    return write_csv(folder / "labels.csv", ["path", "y0", "split"], rows)


def converted(table: Path, out: Path, engine: str, **how: Any) -> Summary:
    return convert(str(table), str(out), OPTIONS, engine=engine, max_rejects="5", **how)


@pytest.fixture(scope="module")
def inline(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("inline")
    converted(table, out, "inline")
    return contents(out)


def test_images_that_are_a_column_of_the_table(spark: Any, table: Path, tmp_path: Path) -> None:
    images = [path.read_bytes() for path in sorted((table.parent / "images").iterdir())]
    column = pa.array([*images * 9, None, b""], pa.binary())
    made = {"image": column, "y0": pa.array(range(len(column)))}
    parquet.write_table(pa.table(made), tmp_path / "t.parquet")
    for engine in ("inline", "spark"):
        convert(
            str(tmp_path / "t.parquet"),
            str(tmp_path / engine),
            replace(OPTIONS, image_column="image"),
            engine=engine,
            max_rejects="20",
        )
    found = contents(tmp_path / "spark")
    assert found == contents(tmp_path / "inline")
    assert b"the table has no image here" in found["rejects.csv"]


class Counted(NoProgress):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.counts = [0, 0, 0, 0]

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        more = images, bytes_read, rejected, bytes_written
        self.counts = [a + b for a, b in zip(self.counts, more, strict=True)]


def test_all_files_are_those_of_the_engine_inline(
    spark: Any, table: Path, inline: dict[str, bytes], tmp_path: Path
) -> None:
    counted = Counted()
    summary = converted(table, tmp_path / "out", "spark", progress=counted)
    assert contents(tmp_path / "out") == inline
    assert (summary.rows, summary.records, summary.rejected) == (100, 98, 2)
    read = sum((table.parent / f"images/{n:04d}.{'png' if n % 2 else 'jpg'}").stat().st_size
               * len(range(n, 98, 9)) for n in range(9))  # fmt: skip
    assert counted.counts == [100, read + 4, 2, summary.bytes]


def test_a_relative_place_is_that_of_the_driver(
    spark: Any, table: Path, inline: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    # Python of tasks works in the folder where Spark was started.
    monkeypatch.chdir(table.parent)
    (tmp_path / "here").mkdir()
    converted(Path("labels.csv"), tmp_path / "here", "spark")
    assert contents(tmp_path / "here") == inline


def test_it_goes_on_from_what_is_there(
    spark: Any, table: Path, inline: dict[str, bytes], tmp_path: Path
) -> None:
    class StopError(Exception):
        pass

    class Stop(NoProgress):
        def advance(self, *_: int) -> None:
            raise StopError

    with pytest.raises(StopError):
        converted(table, tmp_path, "spark", progress=Stop())
    left = contents(tmp_path)
    assert ".shardio/plan.json" in left
    assert not [name for name in left if name.endswith(".tmp") or "/rows/" in name]
    kept = converted(table, tmp_path, "spark").shards_kept
    assert kept > 0
    assert contents(tmp_path) == inline


def test_a_task_that_fails_for_ever_ends_the_run_and_names_its_shard(
    spark: Any, table: Path, tmp_path: Path
) -> None:
    shard = tmp_path / "train-00003-of-00006.tfrecord"

    class Hinder(NoProgress):
        def begin(self, rows: int, done: int, rejected: int) -> None:
            shard.mkdir()

    with pytest.raises(StorageError, match=rf"^{shard.name} on \S+: {shard}: Is a directory$"):
        converted(table, tmp_path, "spark", progress=Hinder())
    assert not list(tmp_path.glob(".*.tmp"))


def test_executors_import_nothing_that_a_worker_of_one_machine_does_not(
    spark: Any, table: Path, tmp_path: Path
) -> None:
    converted(table, tmp_path, "spark")
    heavy = {"tensorflow", "keras", "torch", "jax", "reader", "fsspec", "hdfs_native"}

    def loaded(_: int) -> list[str]:
        import sys

        return sorted(sys.modules)

    modules = {name for part in spark.parallelize([0, 1], 2).map(loaded).collect() for name in part}
    assert "converter.shards.shard" in modules
    assert heavy.isdisjoint(modules)


def test_what_cannot_be_is_refused(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OptionError, match=r"^--master yarn needs HADOOP_CONF_DIR: the folder"):
        engine_for("spark", spark={"spark.master": "yarn"})
    with pytest.raises(OptionError, match=r"^Spark says how many workers there are; drop --work"):
        engine_for("spark", workers=2)
    with pytest.raises(OptionError, match=r"^this program has a SparkContext already; drop"):
        engine_for("spark", spark={"spark.master": "local"})
    with pytest.raises(OptionError, match=r"^Spark Connect runs no tasks of ours"):
        engine_for("spark", spark={"spark.master": "sc://host"})


WORDS = (*BOXED_OPTIONS, "--shards", "7", "--max-rejects", "5", "--engine", "spark")


def test_the_command_line_starts_and_ends_spark(
    spark_is_there: None, table: Path, inline: dict[str, bytes], tmp_path: Path
) -> None:
    where = ["--master", "local[2]", "--conf", "spark.ui.enabled=false"]
    done = run(table, tmp_path / "o", *WORDS, *where)
    assert done.returncode == 0, done.stderr
    assert "98 written + 2 rejected" in done.stdout
    assert contents(tmp_path / "o") == inline


def submitted(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a file with the spark-submit of PySpark's wheel, and wait."""
    spec = find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "bin" / "spark-submit"
    words = [program, "--master", "local[2]", "--conf", "spark.ui.enabled=false", script]
    return subprocess.run(
        [*map(str, words), *map(str, arguments)],
        env={**environment(), "PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_spark_submit_runs_the_script_of_the_documentation(
    spark_is_there: None, table: Path, inline: dict[str, bytes], tmp_path: Path
) -> None:
    (code,) = re.findall("`(import sys; [^`]*)`", (ROOT / "docs" / "spark.md").read_text())
    script = tmp_path / "convert.py"
    script.write_text(code)
    done = submitted(script, table, tmp_path / "o", *WORDS)
    assert done.returncode == 0, done.stderr
    assert "98 written + 2 rejected" in done.stdout
    assert contents(tmp_path / "o") == inline
    # It ends as the converter does; Spark prints its standard error as output.
    done = submitted(script, table, tmp_path / "o", *WORDS, "--master", "local[1]")
    assert done.returncode == 2, done.stdout
    assert "spark-submit names the master; drop --master" in done.stdout
