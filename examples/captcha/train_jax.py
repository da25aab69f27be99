"""Train a small JAX model with one head a label from shards, with nothing but JAX and NumPy.

    python examples/captcha/train_jax.py data/captcha/shards --out training

The same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from augmentation import augment
from results import ended_line, write_curves, write_predictions
from splits import Splits, open_splits

from reader.resume import Saves
from shardio.errors import ShardioError

_FILTERS = (16, 32, 64)
_SAVE_EVERY = 50


def train(splits: Splits, out: Path, saves: Saves, epochs: int, batch_size: int) -> None:
    """Train, save, and draw what came of it."""
    import jax
    import jax.numpy as jnp

    classes = list(splits.train.classes)
    ends = np.cumsum(classes)[:-1].tolist()
    height, width, channels = splits.train.shape
    draw = np.random.default_rng(1)
    weights: list[Any] = []
    for filters in _FILTERS:
        scale = np.sqrt(2 / (9 * channels))
        weights.append(draw.standard_normal((3, 3, channels, filters), np.float32) * scale)
        weights.append(np.zeros(filters, np.float32))
        height, width, channels = -(-height // 2), -(-width // 2), filters
    count = height * width * channels
    weights.append(draw.standard_normal((count, sum(classes)), np.float32) / np.sqrt(count))
    weights.append(np.zeros(sum(classes), np.float32))

    def logits_of(weights: Any, x: Any) -> Any:
        x = x.astype(jnp.float32) / 255 - 0.5
        for kernel, bias in zip(weights[0:-2:2], weights[1:-2:2], strict=True):
            x = jax.lax.conv_general_dilated(
                x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + bias)
        return jnp.split(x.reshape(len(x), -1) @ weights[-2] + weights[-1], ends, axis=1)

    def loss_of(weights: Any, x: Any, ys: Any) -> Any:
        heads = [jax.nn.log_softmax(head) for head in logits_of(weights, x)]
        return -sum(
            jnp.take_along_axis(head, y[:, None], 1).mean()
            for head, y in zip(heads, ys, strict=True)
        )

    def change(weights: Any, first: Any, second: Any, number: Any, x: Any, ys: Any) -> Any:
        loss, slopes = jax.value_and_grad(loss_of)(weights, x, ys)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slopes)  # Adam
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slopes)
        rate = 2e-3 * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second
        )
        return weights, first, second, loss

    step = jax.jit(change)
    predict = jax.jit(lambda weights, x: [head.argmax(1) for head in logits_of(weights, x)])

    def evaluate() -> tuple[Any, Any]:
        found, true = [], []
        for x, ys in splits.held_out.batches(
            256, dtype="uint8", shuffle="none", drop_remainder=False
        ):
            found.append(np.stack(predict(weights, x), 1))
            true.append(np.stack(ys if isinstance(ys, list) else [ys], 1))
        return np.concatenate(found), np.concatenate(true)

    first = second = jax.tree.map(np.zeros_like, weights)
    history: dict[str, list[float]] = {"loss": [], "val_accuracy": []}
    losses: list[Any] = []  # of the steps of this epoch
    number = 0
    batches = splits.train.batches(batch_size, dtype="uint8", transform=augment)
    if saves.latest is not None:
        held, state = pickle.loads((saves.latest / "training.pickle").read_bytes())
        weights, first, second, number, losses, history = held
        batches.load_state_dict(state)

    def save() -> None:
        held = jax.device_get((weights, first, second, number, losses, history))
        with saves.new() as folder:
            (folder / "training.pickle").write_bytes(pickle.dumps((held, batches.state_dict())))

    begun = len(history["loss"])  # epochs that were trained on and evaluated
    if begun >= epochs:
        print(ended_line(begun, epochs, out))
    for epoch in range(begun, epochs):
        # What an interrupted epoch has left may be no whole batch of another size.
        is_begun = batches.state_dict()["epoch"] == epoch
        for x, ys in batches if is_begun else ():
            number += 1
            x, ys = jax.device_put((x, ys if isinstance(ys, list) else [ys]))
            weights, first, second, loss = step(weights, first, second, number, x, ys)
            losses.append(loss)
            # The end of an epoch is saved when it has been evaluated.
            if number % _SAVE_EVERY == 0 and batches.state_dict()["epoch"] == epoch:
                save()
        predicted, true = evaluate()
        history["loss"].append(float(np.mean(losses)))
        history["val_accuracy"].append(float((predicted == true).mean()))
        losses.clear()
        save()
        said = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
        print(f"epoch {epoch + 1}/{epochs}: {said}", flush=True)
    predicted, _ = evaluate()
    write_predictions(out / "predictions.png", splits.held_out, predicted)
    write_curves(out / "curves.svg", history)


def main() -> None:
    """Read arguments, open the shards, train."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("shards", help="a folder of shards, or a glob (in quotes)")
    parser.add_argument("--out", type=Path, required=True, help="a folder for all that is made")
    parser.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    arguments = parser.parse_args()
    try:
        splits = open_splits(arguments.shards)
        print(splits.line, flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        with Saves(arguments.out / "saves") as saves:  # another training into it is an error
            train(splits, arguments.out, saves, arguments.epochs, arguments.batch_size)
    except (ShardioError, OSError) as error:  # also a full disk, a folder that is read-only
        parser.exit(1, f"train_jax: {error}\n")


if __name__ == "__main__":
    main()
