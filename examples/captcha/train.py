"""Train a small Keras model with one head a label from a glob of shards.

    python examples/captcha/train.py 'data/captcha/shards/train-*.tfrecord'

The last shard is held out to validate on. Everything that the model needs to know, image shape and
number of classes, comes from the shards.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from keras import layers

from reader import ShardSet, open_shards
from shardio.errors import OptionError, ShardioError
from shardio.format.label import Label


def build_model(shards: ShardSet) -> keras.Model:
    """Make a convolutional network with a softmax for each label."""
    image = keras.Input(shards.shape, name="image")
    x = image
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, strides=1 if filters == 16 else 2, padding="same")(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        if filters == 16:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    heads = [_head(label)(x) for label in shards.labels]
    model = keras.Model(image, heads)
    count = len(heads)
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=["sparse_categorical_crossentropy"] * count,
        metrics=[["accuracy"] for _ in range(count)],
    )
    return model


def _head(label: Label) -> keras.Layer:
    """Make a softmax for a label, or one for each place of a text."""
    if label.kind.is_float:
        raise OptionError(f"{label.name} holds floats; this example trains on classes")
    if label.kind.is_class:
        return layers.Dense(label.classes, activation="softmax", name=label.name)
    places = label.kind.length
    return keras.Sequential(
        [
            layers.Dense(places * label.classes),
            layers.Reshape((places, label.classes)),
            layers.Softmax(),
        ],
        name=label.name,
    )


class Report(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """Prints one line an epoch: the loss, and the accuracy of every head on the held-out shard."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print the line."""
        logs = logs or {}
        heads = self.model.output_names
        found = [(head, logs.get(f"val_{head}_accuracy")) for head in heads]
        if len(heads) == 1:
            found = [(heads[0], logs.get("val_accuracy"))]
        shown = "  ".join(f"{head} {value:.1%}" for head, value in found if value is not None)
        print(
            f"epoch {epoch + 1}: loss {logs['loss']:.3f}, held out {logs['val_loss']:.3f}, "
            f"accuracy {shown}",
            flush=True,
        )


def main() -> None:
    """Train, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("shards", help="a glob of shards (in quotes), or the folder of a dataset")
    parser.add_argument("--epochs", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("model.keras"),
        help="where to save it (default: %(default)s)",
    )
    parser.add_argument("--split", help="the split of a folder that holds several")
    parser.add_argument("--cache", help="a folder on a local disk where shards of a URL are kept")
    arguments = parser.parse_args()
    try:
        paths = [shard.path for shard in open_shards(arguments.shards, arguments.split).shards]
        if len(paths) < 2:
            parser.error("one shard is held out, so at least two are needed")
        train = open_shards(paths[:-1], cache=arguments.cache)
        held_out = open_shards(paths[-1:], cache=arguments.cache)
        if not train.labels:
            parser.error("the shards have no labels to train on")
        keras.utils.set_random_seed(1)
        model = build_model(train)
        print(f"{len(train):,} images to train on, {len(held_out):,} held out")
        model.fit(
            train.to_tf_dataset(arguments.batch_size),
            validation_data=held_out.to_tf_dataset(
                arguments.batch_size, shuffle="none", drop_remainder=False
            ),
            epochs=arguments.epochs,
            shuffle=False,  # the dataset shuffles
            callbacks=[Report()],
            verbose=0,
        )
    except ShardioError as error:
        parser.exit(1, f"train: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "train: stopped; no model was saved\n")
    arguments.model.parent.mkdir(parents=True, exist_ok=True)
    model.save(arguments.model)
    print(f"saved {arguments.model}")


if __name__ == "__main__":
    main()
