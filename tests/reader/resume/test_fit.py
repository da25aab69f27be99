"""What `resume.fit` refuses, and the callbacks of Keras that work with it."""

from __future__ import annotations

import resource
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest

from reader import ShardSet, open_shards, resume
from reader.resume.save_files import read_arrays, read_values
from shardio.errors import DatasetError, OptionError, OutputError, StorageError
from shardio.storage.folder_lock import locked
from tests.reader.datasets import Made, write_dataset

# Keras reads weights in a way that NumPy has another one for.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class StopError(Exception):
    pass


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the process of a training, so to say, at a step of an epoch; counts the steps."""

    def __init__(self, epoch: int = -1, step: int = 0) -> None:
        super().__init__()
        self.place = epoch, step
        self.steps: list[list[int]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        self.steps.append([])

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == self.place:
            raise StopError
        self.steps[-1].append(batch)


def model_of(shards: ShardSet, units: int = 0) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input(shards.shape)
    x = keras.layers.Flatten()(image)
    x = keras.layers.Dense(units)(x) if units else x
    model = keras.Model(image, [keras.layers.Dense(n, activation="softmax")(x) for n in (7, 30)])
    loss = ["sparse_categorical_crossentropy"] * 2
    model.compile("adam", loss=loss, run_eagerly=True)  # making a graph takes longer than its steps
    return model


def train(made: Made, folder: Path, *callbacks: Any, **options: Any) -> keras.callbacks.History:
    shards = open_shards(made.glob)
    data = options.pop("data", partial(shards.to_keras, options.pop("batch_size", 5)))
    model = options.pop("model", None) or model_of(shards)
    options = {"epochs": 3, "every": 2, "verbose": 0, **options}
    return resume.fit(model, data, folder, callbacks=list(callbacks), **options)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saves of a training on shards as those of `made`, which was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(StopError):
        train(write_dataset(folder / "shards"), folder / "saves", Stop(1, 3))
    return folder / "saves"


@pytest.fixture
def saved(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "saves"))


def test_all_epochs_keep_their_steps_after_a_restart(made: Made, saved: Path) -> None:
    stop = Stop()
    history = train(made, saved, stop)
    # Saves were made after 2, 4, 6, 8 and 10 steps of all.
    assert stop.steps == [list(range(3, 7)), list(range(7))]
    assert history.epoch == [0, 1, 2]
    assert len(history.history["loss"]) == 3


def test_a_training_that_was_finished_is_brought_back(made: Made, saved: Path) -> None:
    shards, again = open_shards(made.glob), Stop()
    trained = model_of(shards)
    history = train(made, saved, model=trained)
    model = model_of(shards)
    assert train(made, saved, again, model=model).history == history.history
    assert again.steps == []
    for before, now in zip(trained.get_weights(), model.get_weights(), strict=True):
        assert (before == now).all()
    assert len(train(made, saved, again, epochs=4).epoch) == 4
    assert again.steps == [list(range(7))]


def test_another_stream_is_refused(made: Made, saved: Path, tmp_path: Path) -> None:
    shards = open_shards(made.glob)
    with pytest.raises(OptionError, match="another batch_size: it was 5, and is 6 now"):
        train(made, saved, batch_size=6)
    with pytest.raises(OptionError, match="another seed: it was 1, and is 2 now"):
        train(made, saved, data=partial(shards.to_keras, 5, seed=2))
    with pytest.raises(OptionError, match="with other shards, or another part of them"):
        train(write_dataset(tmp_path / "other", seed=1), saved)


def test_another_model_is_refused(made: Made, saved: Path) -> None:
    with pytest.raises(OptionError, match="of another model"):
        train(made, saved, model=model_of(open_shards(made.glob), units=3))


@pytest.mark.parametrize("name", ["steps_per_epoch", "initial_epoch", "shuffle"])
def test_what_fit_says_itself_is_refused(made: Made, tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match=f"resume.fit says {name} itself"):
        train(made, tmp_path, **{name: 1})


def test_data_must_be_a_stream_from_a_step_on(made: Made, tmp_path: Path) -> None:
    shards = open_shards(made.glob)
    with pytest.raises(OptionError, match="must hand on epochs="):
        train(made, tmp_path, data=lambda **_: shards.to_keras(5))
    with pytest.raises(OptionError, match="it returned list"):
        train(made, tmp_path, data=lambda **_: [])
    with pytest.raises(OptionError, match="for one process"):
        train(made, tmp_path, data=partial(shards.to_keras, 2, worker=(0, 2)))
    with pytest.raises(OptionError, match="leave out BackupAndRestore"):
        train(made, tmp_path, keras.callbacks.BackupAndRestore(str(tmp_path / "backup")))


def test_a_start_step_that_is_not_handed_on_is_noticed(made: Made, saved: Path) -> None:
    shards = open_shards(made.glob)
    with pytest.raises(OptionError, match="hand on epochs= and start_step="):
        train(made, saved, data=lambda epochs, start_step: shards.to_keras(5, epochs=epochs))


def test_another_optimizer_with_the_same_variables_is_refused(made: Made, tmp_path: Path) -> None:
    for number, optimizer in enumerate((keras.optimizers.Adam(), keras.optimizers.Nadam())):
        model = model_of(open_shards(made.glob))
        model.compile(optimizer, loss=["sparse_categorical_crossentropy"] * 2)
        if not number:
            train(made, tmp_path, model=model)
            continue
        with pytest.raises(OptionError, match="the optimizer Adam, and the model has Nadam now"):
            train(made, tmp_path, model=model, epochs=4)


def test_two_processes_do_not_train_into_one_folder(made: Made, tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with (
        locked(str(tmp_path / ".lock" / "lock"), ""),
        pytest.raises(OutputError, match="another training saves into"),
    ):
        train(made, tmp_path)


AFTER: dict[str, Any] = {
    "Take": lambda data: data.take(4),
    "Skip": lambda data: data.skip(1),
    "Shuffle": lambda data: data.shuffle(3),
    "Batch": lambda data: data.unbatch().batch(10),
    "Repeat": lambda data: data.prefetch(1).repeat(2).prefetch(1),
    "Zip": lambda data: type(data).zip((data, type(data).range(9).repeat())),
    "deterministic=False": lambda data: data.map(
        lambda x, ys: (x, ys), num_parallel_calls=2, deterministic=False
    ),
}


@pytest.mark.parametrize("what", AFTER)
def test_what_moves_batches_to_other_steps_is_refused(
    made: Made, tmp_path: Path, what: str
) -> None:
    shards = open_shards(made.glob)
    with pytest.raises(OptionError, match=what):
        train(made, tmp_path, data=lambda **place: AFTER[what](shards.to_tf_dataset(5, **place)))


def test_a_stream_may_be_mapped(made: Made, tmp_path: Path) -> None:
    shards = open_shards(made.glob)

    def mapped(**place: Any) -> Any:
        data = shards.to_tf_dataset(5, **place).map(lambda x, ys: (x * 0, ys), num_parallel_calls=2)
        return data.map(lambda x, ys: (x, ys)).prefetch(2)

    assert len(train(made, tmp_path, data=mapped, epochs=2).epoch) == 2


def test_an_epoch_that_ends_early_is_an_error(made: Made, tmp_path: Path) -> None:
    """Keras itself only warns, and goes on with the next epoch."""
    shards = open_shards(made.glob)

    class Short(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner
            self._shardio_maker = inner._shardio_maker

        num_batches = 4

        def __getitem__(self, index: int) -> Any:
            return self.inner[index]

    with (
        pytest.raises(OptionError, match="epoch 0 ended at step 4 of 7"),
        pytest.warns(UserWarning, match="ran out of data"),
    ):
        train(made, tmp_path, data=lambda **place: Short(shards.to_keras(5, **place)))


FILES = ["model.npz", "optimizer.npz", "metrics.npz", "random.npz", "callbacks.json"]
DAMAGE: dict[str, Any] = {
    "gone": None,
    "cut": lambda data: data[:-40],
    "empty": lambda data: b"",
    "flipped": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
}


def test_a_save_that_is_damaged_is_named(made: Made, saved: Path) -> None:
    save = next(saved.glob("save-*"))
    for name in [*FILES, "training.json", "callbacks.npz"]:
        whole = (save / name).read_bytes()
        for how, damage in DAMAGE.items():
            if how == "flipped" and name == "callbacks.npz":
                continue  # no callback has an array: there is nothing to compare
            (save / name).unlink(missing_ok=True)
            if damage is not None:
                (save / name).write_bytes(damage(whole))
            read = read_values if name.endswith("json") else read_arrays
            with pytest.raises(DatasetError, match=rf"{name}.* cannot be read .*remove {saved} to"):
                read(save / name)
        with pytest.raises(DatasetError, match="cannot be read"):
            train(made, saved)
        (save / name).write_bytes(whole)
    assert len(train(made, saved).epoch) == 3


def test_a_folder_that_takes_no_save_is_told(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be a folder of saves"):
        train(made, tmp_path / "file")

    class Full(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(StorageError, match=r"takes no save .*the last one is whole"):
            train(made, tmp_path / "saves", Full())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(train(made, tmp_path / "saves").epoch) == 3


def test_a_start_step_needs_an_endless_stream(made: Made) -> None:
    shards = open_shards(made.glob)
    for face in (shards.to_keras, shards.to_tf_dataset):
        with pytest.raises(OptionError, match="start_step needs epochs=None"):
            face(5, start_step=2)
        with pytest.raises(OptionError, match="at least 0, not -1"):
            face(5, start_step=-1, epochs=None)


@pytest.mark.parametrize("start", [0, 3, 7, 17])
def test_a_stream_begins_with_its_start_step(made: Made, start: int) -> None:
    shards = open_shards(made.glob)
    expected = [x.sum() for x, _ in shards.batches(5, epochs=4)][start : start + 9]
    keras_set = shards.to_keras(5, epochs=None, start_step=start)
    assert [keras_set[index][0].sum() for index in range(9)] == expected
    dataset = shards.to_tf_dataset(5, epochs=None, start_step=start).take(9)
    assert [x.numpy().sum() for x, _ in dataset] == expected


@pytest.mark.slow
def test_tensorboard_has_scalars_and_histograms_of_training_and_validation(
    made: Made, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shards = open_shards(made.glob)
    held_out = shards.to_tf_dataset(5, shuffle="none", drop_remainder=False)
    for stop in (Stop(1, 3), Stop()):
        board = keras.callbacks.TensorBoard(str(tmp_path / "board"), histogram_freq=1)
        try:
            train(
                made,
                tmp_path / "saves",
                board,
                stop,
                data=partial(shards.to_tf_dataset, 5),
                validation_data=held_out,
            )
        except StopError:
            assert stop.place != (-1, 0)
    found = {}
    for part in ("train", "validation"):
        events = EventAccumulator(str(tmp_path / "board" / part), {"tensors": 0})
        events.Reload()
        found[part] = {
            tag: [event.step for event in events.Tensors(tag)] for tag in events.Tags()["tensors"]
        }
    assert found["train"]["epoch_loss"] == found["validation"]["epoch_loss"] == [0, 1, 2]
    assert [tag for tag in found["train"] if "kernel" in tag]
