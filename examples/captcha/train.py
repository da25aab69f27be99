"""Train a small Keras model with one head a label from shards: a template to copy.

    python examples/captcha/train.py data/captcha/shards --out data/captcha/training

All that it needs to know, image shape and classes, comes from the shards. Everything that it makes
is in the folder `--out`: `saves` (the same command goes on from there after a kill), `board` for
TensorBoard, `best.keras`, `predictions.png` and `curves.svg`.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from augmentation import augment
from quiet import quiet
from results import ended_line, write_curves, write_predictions
from splits import Splits, open_splits

from reader import ShardSet
from shardio.errors import ShardioError

# TensorFlow's errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def build_model(shards: ShardSet) -> Any:
    """Make a convolutional network, from uint8 images to the logits of each label."""
    import keras
    from keras import layers

    class Weighted(keras.losses.Loss):  # type: ignore[misc]  # keras ships no types
        """Sparse categorical cross-entropy in which rare classes count more, within limits."""

        def __init__(self, weights: Any) -> None:
            super().__init__()
            self.weights = np.where(weights > 0, np.clip(weights, 0.2, 5), 1).astype(np.float32)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            y_true = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32")
            loss = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
            return loss * keras.ops.take(self.weights, y_true)

    image = keras.Input(shards.shape, name="image", dtype="uint8")
    x = layers.Rescaling(1 / 255)(image)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, strides=1 if filters == 16 else 2, padding="same")(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        if filters == 16:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    heads = [
        # In float32 with mixed precision too.
        layers.Dense(label.classes, name=label.name, dtype="float32")(x)
        for label in shards.labels
    ]
    model = keras.Model(image, heads)
    accuracy = [keras.metrics.SparseCategoricalAccuracy(name="accuracy") for _ in heads]
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3),
        loss=[Weighted(shards.class_weights(label.name)) for label in shards.labels],
        metrics=accuracy if len(heads) == 1 else [[each] for each in accuracy],
    )
    return model


def train(splits: Splits, out: Path, epochs: int, batch_size: int, verbose: int) -> None:
    """Train, save, and draw what came of it."""
    with quiet():
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        tf.zeros(()).numpy()
    from reader import StallCallback, resume

    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    strategy = tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = build_model(splits.train)
    validation = splits.held_out.to_tf_dataset(
        batch_size, dtype="uint8", shuffle="none", drop_remainder=False
    )

    trained: list[int] = []

    def report(epoch: int, logs: dict[str, float]) -> None:
        trained.append(epoch)
        right = [value for name, value in logs.items() if name.startswith("val_") and "acc" in name]
        shown = "  ".join(f"{value:.1%}" for value in right)
        waited = f", waited {logs['stall']:.0%}" if "stall" in logs else ""
        print(
            f"epoch {epoch + 1}: loss {logs['loss']:.3f}, held out {logs['val_loss']:.3f}, "
            f"accuracy {shown}{waited}",
            flush=True,
        )

    history = resume.fit(
        model,
        partial(splits.train.to_tf_dataset, batch_size, dtype="uint8", transform=augment),
        out / "saves",
        epochs=epochs,
        minutes=1,
        verbose=verbose,
        validation_data=validation,
        callbacks=[
            StallCallback(),  # before the others, which find its numbers in the logs
            keras.callbacks.TensorBoard(str(out / "board"), histogram_freq=1),
            keras.callbacks.ModelCheckpoint(str(out / "best.keras"), save_best_only=True),
            keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.3),
            keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True),
            keras.callbacks.LambdaCallback(on_epoch_end=report),
        ],
    ).history
    logits = model.predict(validation, verbose=0)
    logits = logits if isinstance(logits, list) else [logits]
    predicted = np.stack([each.argmax(axis=-1) for each in logits], axis=1)
    write_predictions(out / "predictions.png", splits.held_out, predicted)
    write_curves(out / "curves.svg", history)
    true = [
        batch if isinstance(batch, list) else [batch]
        for _, batch in splits.held_out.batches(256, shuffle="none", drop_remainder=False)
    ]
    right = np.concatenate([np.stack(batch, axis=1) for batch in true]) == predicted
    for label, share in zip(splits.held_out.labels, right.mean(axis=0), strict=True):
        print(f"{label.name}: {share:.1%} right of {len(right):,}")
    if right.shape[1] > 1:
        print(f"all labels of an image: {right.all(axis=1).mean():.1%}")
    if not trained:
        print(ended_line(len(history["loss"]), epochs, out))
    print(f"best model, TensorBoard, predictions and curves: {out}")


def main() -> None:
    """Read arguments, open the shards, train."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("shards", help="a folder of shards, or a glob (in quotes)")
    parser.add_argument("--out", type=Path, required=True, help="a folder for all that is made")
    parser.add_argument("--epochs", type=int, default=10, help="at most (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--cache", help="a folder on a local disk where shards of a URL are kept")
    arguments = parser.parse_args()
    try:
        splits = open_splits(arguments.shards, arguments.cache)
        print(splits.line, flush=True)
        # A bar with each step, where somebody looks on.
        verbose = 1 if sys.stdout.isatty() else 0
        arguments.out.mkdir(parents=True, exist_ok=True)
        train(splits, arguments.out, arguments.epochs, arguments.batch_size, verbose)
    except (ShardioError, OSError) as error:  # also a full disk, a folder that is read-only
        parser.exit(1, f"train: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "train: stopped; the same command goes on from the last save\n")


if __name__ == "__main__":
    main()
