"""What is read from HDFS is what is read from local disk."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from reader.commands.cli import main
from shardio.errors import CorruptRecordError, DatasetError, MissingFileError
from tests.hdfs.local_set import LocalSet, read, stream_digest
from tests.hdfs.place import HdfsPlace

ORDERS = ["exact", "window", "none"]


def ends(action: Callable[[], object], seconds: float = 120) -> None:
    """Run something that once hung: a test that hangs would hide what the others say."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("shuffle", ORDERS)
def test_batches_are_those_of_local_disk(stored: HdfsPlace, small: LocalSet, shuffle: str) -> None:
    for options in ({"epochs": 2}, {"memory": "24MB", "drop_remainder": False}):
        local = stream_digest(read(small.folder, shuffle=shuffle, **options))
        assert stream_digest(read(stored.folder, shuffle=shuffle, **options)) == local


@pytest.mark.parametrize("block", ["65536", "134217728"])
def test_blocks_of_any_size_are_read(place: HdfsPlace, small: LocalSet, block: str) -> None:
    place.write_folder(small.folder, blocksize=block)
    assert str(place.status("train-00000-of-00003.tfrecord")["blockSize"]) == block
    for shuffle in ("exact", "none"):
        local = stream_digest(read(small.folder, shuffle=shuffle))
        assert stream_digest(read(place.folder, shuffle=shuffle)) == local


def test_window_and_exact_epochs_take_turns_in_one_process(
    place: HdfsPlace, small: LocalSet, tmp_path: Path
) -> None:
    """Files that the garbage collector closes in the midst of reads of others hang nothing."""
    many = small.again(12, tmp_path / "many")
    place.write_folder(many.folder)
    wanted = {order: stream_digest(read(many.folder, shuffle=order)) for order in ORDERS}

    def work() -> None:
        for _ in range(2):
            for order in ("window", "exact", "none"):
                assert stream_digest(read(place.folder, shuffle=order)) == wanted[order]

    before = gc.get_threshold()
    gc.set_threshold(100)
    try:
        ends(work)
    finally:
        gc.set_threshold(*before)


def test_streams_go_on_from_their_state(stored: HdfsPlace, small: LocalSet) -> None:
    whole = list(read(small.folder, shuffle="window"))
    first = read(stored.folder, shuffle="window")
    for _ in range(3):
        assert next(first)[0].shape == (16, 150, 150, 3)
    state = pickle.loads(pickle.dumps(first.state_dict()))
    again = read(stored.folder, shuffle="window")
    again.load_state_dict(state)
    rest = [rows.tolist() for _, _, rows in again]
    assert rest == [rows.tolist() for _, _, rows in whole[3:]]


def test_the_command_line_reads_hdfs(stored: HdfsPlace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", stored.folder]) == 0
    assert "119 in 3 shards" in capsys.readouterr().out
    assert main(["verify", stored.folder]) == 0
    assert "are whole: CRCs and SHA-256 agree" in capsys.readouterr().out


def test_shards_that_are_damaged_gone_or_replaced_are_named(
    place: HdfsPlace, small: LocalSet
) -> None:
    place.write_folder(small.folder)
    name = "train-00001-of-00003.tfrecord"
    url = f"{place.folder}/{name}"
    data = place.read(name)
    shards = open_shards(place.folder)
    place.write(name, data[:100_000] + b"x" + data[100_001:])
    with pytest.raises(DatasetError, match=f"^{url} was replaced or written to"):
        stream_digest(shards.batches(16, rows=True))
    with pytest.raises(CorruptRecordError, match=f"^{url}"):
        stream_digest(read(place.folder))
    assert main(["verify", place.folder]) == 1
    place.write(name, data[:-1])
    with pytest.raises(DatasetError, match=name):
        open_shards(place.folder)
    place.remove(name)
    with pytest.raises(MissingFileError, match=url):
        stream_digest(shards.batches(16, rows=True))
    with pytest.raises(DatasetError, match=name):
        open_shards(place.folder)


def test_a_model_is_trained_from_hdfs(stored: HdfsPlace) -> None:
    keras = pytest.importorskip("keras")
    shards = open_shards(stored.folder)
    image = keras.Input((150, 150, 3))
    flat = keras.layers.Flatten()(keras.layers.AveragePooling2D(10)(image))
    heads = [keras.layers.Dense(classes)(flat) for classes in shards.classes]
    model = keras.Model(image, heads)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=[loss] * len(heads), jit_compile=False)
    options: dict[str, Any] = {"batch_size": 32, "one_hot": True, "shuffle": "window"}
    for batches in (shards.to_keras(**options), shards.to_tf_dataset(**options)):
        found = model.fit(batches, epochs=2, shuffle=False, verbose=0)
        assert np.isfinite(found.history["loss"]).all()
