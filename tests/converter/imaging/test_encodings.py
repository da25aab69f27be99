"""Sets of encoded images: made, indexed, and read back through the same interface."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from converter import ConvertOptions, Summary, convert
from converter.engines.protocol import NoProgress
from reader import open_shards
from reader.batching.options import Shuffle
from reader.commands.cli import main
from reader.commands.staging import Staging
from shardio.errors import CorruptRecordError, DatasetError, OptionError
from shardio.examples.example import parse_example
from shardio.format.encoding import Encoding
from shardio.format.index import ShardIndex
from shardio.format.manifest import Manifest
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_input

SIZE = (24, 16)
LOSSLESS = ["png", "webp:lossless"]
ENCODINGS = [*LOSSLESS, "jpeg:95", "jpeg:1", "webp:90"]

pytestmark = pytest.mark.skipif(not features.check("webp"), reason="this Pillow has no WebP")


def options(encoding: str) -> ConvertOptions:
    return ConvertOptions(transform=Transform(None, SIZE), shards=4, encoding=Encoding(encoding))


def run(table: Path, out: Path, encoding: str, engine: str = "inline", **how: object) -> Summary:
    return convert(str(table), str(out), options(encoding), engine=engine, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_input(tmp_path_factory.mktemp("input"), 50)


@pytest.fixture(scope="module", params=ENCODINGS)
def made(
    request: pytest.FixtureRequest, table: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    run(table, out, str(request.param))
    return out


@pytest.fixture(scope="module")
def raw(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw") / "raw"
    run(table, out, "raw")
    return out


def manifest_of(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "dataset.json").read_bytes())


def everything(folder: Path, **how: Any) -> tuple[NDArray[np.uint8], list[NDArray[np.int32]]]:
    how = {"shuffle": "none", "dtype": "uint8", "rows": True, **how}
    x, y, rows = zip(*open_shards(folder).batches(1, **how), strict=True)
    return np.concatenate(x), [np.concatenate(h) for h in zip(*y, strict=True)] + [
        np.concatenate(rows)
    ]


def test_records_are_those_of_the_raw_set_but_for_the_images(made: Path, raw: Path) -> None:
    x, integers = everything(made)
    wanted, wanted_integers = everything(raw)
    for found, expected in zip(integers, wanted_integers, strict=True):
        assert found.tolist() == expected.tolist()
    encoding = manifest_of(made).encoding
    if encoding in LOSSLESS:
        assert (x == wanted).all()
    else:
        assert np.abs(x.astype(int) - wanted.astype(int)).mean() < 60
        assert (x != wanted).any()


@pytest.mark.parametrize("shuffle", ["exact", "window"])
def test_every_order_is_that_of_the_raw_set(made: Path, raw: Path, shuffle: Shuffle) -> None:
    how = {"shuffle": shuffle, "seed": 5, "epochs": 2}
    assert everything(made, **how)[1][-1].tolist() == everything(raw, **how)[1][-1].tolist()


def test_tensorflow_reads_the_same_pixels(made: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    x, integers = everything(made)
    place = {row: at for at, row in enumerate(integers[-1].tolist())}
    found = 0
    for path in sorted(made.glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.train.Example.FromString(record.numpy()).features.feature
            data = example["image"].bytes_list.value[0]
            with Image.open(io.BytesIO(data)) as image:
                assert image.format is not None
                assert manifest_of(made).encoding.startswith(image.format.lower())
                wanted = np.asarray(image)
            row = place[example["row"].int64_list.value[0]]
            assert (x[row] == wanted).all()
            found += 1
    assert found == len(x)


def test_indexes_lie_beside_the_shards_and_are_made_anew_where_they_are_gone(
    made: Path, table: Path, tmp_path: Path
) -> None:
    for path in made.glob("*.tfrecord"):
        data = path.read_bytes()
        with Path(f"{path}.idx").open("rb") as stream:
            index = ShardIndex.from_stream(stream, "index", len(data))
        assert index.end == len(data)
        for start, stop in zip(index.offsets[:-1], index.offsets[1:], strict=True):
            parse_example(data[int(start) + 12 : int(stop) - 4])
    out = tmp_path / "out"
    run(table, out, manifest_of(made).encoding)
    whole = contents(out)
    for path in out.glob("*.idx"):
        path.unlink()
    assert (everything(out)[0] == everything(made)[0]).all()
    assert contents(out) == whole


def test_an_index_of_something_else_is_refused(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(table, out, "png")
    path = next(out.glob("*.idx"))
    path.write_bytes(b"0 %d\n" % path.with_suffix("").stat().st_size)
    with pytest.raises(DatasetError, match=r"\.idx lists 1 record, dataset.json says"):
        open_shards(out)


@pytest.mark.parametrize("encoding", ["png", "jpeg:95"])
def test_the_bytes_depend_on_nothing_else(table: Path, tmp_path: Path, encoding: str) -> None:
    class Stop(NoProgress):
        def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
            raise KeyboardInterrupt

    run(table, tmp_path / "a", encoding)
    run(table, tmp_path / "b", encoding, engine="processes")
    with pytest.raises(KeyboardInterrupt):
        run(table, tmp_path / "c", encoding, progress=Stop())
    # A shard without its index is no finished one.
    for index in (tmp_path / "c").glob("*.idx"):
        index.unlink()
    assert run(table, tmp_path / "c", encoding).shards_kept == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")
    run(table, tmp_path / "c", "raw", overwrite=True)
    assert not list((tmp_path / "c").glob("*.idx"))


def test_damage_is_found_and_repaired(made: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    encoding = manifest_of(made).encoding
    run(table, out, encoding)
    assert main(["verify", str(out)]) == 0
    path = sorted(out.glob("*.tfrecord"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptRecordError, match=path.name):
        everything(out)
    assert main(["verify", str(out)]) == 1
    run(table, out, encoding, repair=True)
    assert contents(out) == contents(made)


def test_a_set_is_staged_with_its_indexes(made: Path, tmp_path: Path) -> None:
    Staging(str(made), str(tmp_path / "to"), None).run(lambda size: None)
    assert contents(tmp_path / "to") == contents(made)


def test_info_says_how_images_are_stored(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(made)]) == 0
    assert f"made by   {manifest_of(made).encoding}, whole image" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gif", "jpeg", "jpeg:0", "jpeg:101", "webp", "PNG", "raw:1", ""])
def test_other_encodings_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="the encoding must be raw, png, jpeg:1 to"):
        Encoding(name)
