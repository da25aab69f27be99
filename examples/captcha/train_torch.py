"""Train a small PyTorch model with one head a label from shards: the twin of train.py.

    python examples/captcha/train_torch.py data/captcha/shards --out training
    torchrun --nproc-per-node 2 examples/captcha/train_torch.py data/captcha/shards --out training

With torchrun each process takes its own part of every step. The same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import io
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from augmentation import augment
from results import ended_line, write_curves, write_predictions
from splits import Splits, open_splits

from reader import ShardSet
from reader.resume import Saves
from shardio.errors import ShardioError

_SAVE_EVERY = 50


def build_model(shards: ShardSet) -> Any:
    """Make a convolutional network, from uint8 images to the logits of all labels in a row."""
    import torch
    from torch import nn

    height, width, channels = shards.shape
    layers: list[Any] = []
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        layers += [nn.Conv2d(channels, filters, 3, stride, 1), nn.BatchNorm2d(filters), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if stride == 1 else []
        channels = filters
    layers += [nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(sum(shards.classes))]
    model = nn.Sequential(*layers)
    model(torch.zeros(2, shards.shape[2], height, width))  # the last layer learns its size
    return model


def train(splits: Splits, out: Path, saves: Saves, epochs: int, batch_size: int) -> None:
    """Train, save, and draw what came of it."""
    import torch
    import torch.distributed as dist
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader

    on_gpu = torch.cuda.is_available()
    if "RANK" in os.environ:
        dist.init_process_group("nccl" if on_gpu else "gloo")
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    rank = dist.get_rank() if dist.is_initialized() else 0
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.manual_seed(1)
    plain = build_model(splits.train).to(device)
    model = torch.nn.parallel.DistributedDataParallel(plain) if dist.is_initialized() else plain
    optimizer = torch.optim.Adam(plain.parameters(), 2e-3)
    scaler = torch.amp.GradScaler(device.type, enabled=on_gpu)
    weights = [
        torch.as_tensor(np.where((w := splits.train.class_weights(label.name)) > 0, w, 1))
        .clamp(0.2, 5)
        .to(device)
        for label in splits.train.labels
    ]
    sizes = list(splits.train.classes)

    def logits_of(net: Any, x: Any) -> Any:
        x = x.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        with torch.autocast(device.type, enabled=on_gpu):
            return net(x).float().split(sizes, dim=1)

    def parts(ys: Any) -> list[Any]:
        return [y.to(device, non_blocking=True) for y in (ys if isinstance(ys, list) else [ys])]

    data = splits.train.to_torch(batch_size, dtype="uint8", transform=augment)
    # A loader draws a seed when it begins, also in the midst of an epoch: not that of dropout.
    loader = DataLoader(data, batch_size=None, pin_memory=on_gpu, generator=torch.Generator())
    history: dict[str, list[float]] = {"loss": [], "val_loss": [], "val_accuracy": []}
    losses: list[float] = []  # of the steps of this epoch
    everything = {"model": plain, "optimizer": optimizer, "scaler": scaler, "data": data}
    if saves.latest is not None:
        saved = torch.load(saves.latest / "training.pt", map_location=device)
        for name, each in everything.items():
            each.load_state_dict(saved[name])
        losses, history = saved["losses"], saved["history"]
        torch.set_rng_state(saved["random"].cpu())

    def save() -> None:
        if rank == 0:
            states = {name: each.state_dict() for name, each in everything.items()}
            more = {"losses": losses, "history": history, "random": torch.get_rng_state()}
            held = io.BytesIO()  # of a full disk Python speaks more clearly than torch
            torch.save({**states, **more}, held)
            with saves.new() as folder:
                (folder / "training.pt").write_bytes(held.getbuffer())

    def evaluate() -> tuple[float, Any, Any]:
        plain.eval()
        loss, found, true = 0.0, [], []
        held_out = splits.held_out.to_torch(
            256, dtype="uint8", shuffle="none", drop_remainder=False, worker=(0, 1)
        )
        with torch.no_grad():
            for x, ys in held_out:
                heads = logits_of(plain, x)
                loss += sum(
                    float(cross_entropy(head, y, reduction="sum"))
                    for head, y in zip(heads, parts(ys), strict=True)
                )
                found.append(torch.stack([head.argmax(1) for head in heads], 1).cpu())
                true.append(torch.stack(parts(ys), 1).cpu())
        plain.train()
        return loss / len(splits.held_out), torch.cat(found).numpy(), torch.cat(true).numpy()

    plain.train()
    first = len(history["loss"])  # epochs that were trained on and evaluated
    if rank == 0 and first >= epochs:
        print(ended_line(first, epochs, out))
    for epoch in range(first, epochs):
        # What an interrupted epoch has left may be no whole batch of another size.
        is_begun = data.state_dict()["epoch"] == epoch
        for step, (x, ys) in enumerate(loader if is_begun else (), 1):
            heads = logits_of(model, x)
            loss = sum(
                cross_entropy(head, y, weight)
                for head, y, weight in zip(heads, parts(ys), weights, strict=True)
            )
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(float(loss.detach()))
            # The end of an epoch is saved when it has been evaluated.
            if step % _SAVE_EVERY == 0 and data.state_dict()["epoch"] == epoch:
                save()
        val_loss, predicted, true = evaluate()
        history["loss"].append(float(np.mean(losses)))
        history["val_loss"].append(val_loss)
        history["val_accuracy"].append(float((predicted == true).mean()))
        losses.clear()
        save()
        if rank == 0:
            said = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
            print(f"epoch {epoch + 1}/{epochs}: {said}", flush=True)
    if rank == 0:
        _, predicted, true = evaluate()
        write_predictions(out / "predictions.png", splits.held_out, predicted)
        write_curves(out / "curves.svg", history)
        for label, share in zip(splits.held_out.labels, (predicted == true).mean(0), strict=True):
            print(f"{label.name}: {share:.1%} right of {len(true):,}")
    if dist.is_initialized():
        dist.destroy_process_group()


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
        is_first = int(os.environ.get("RANK", 0)) == 0
        if is_first:
            print(splits.line, flush=True)
        arguments.out.mkdir(parents=True, exist_ok=True)
        saves = Saves(arguments.out / "saves")
        with saves if is_first else nullcontext():  # another training into it is an error
            train(splits, arguments.out, saves, arguments.epochs, arguments.batch_size)
    except (ShardioError, OSError) as error:  # also a full disk, a folder that is read-only
        parser.exit(1, f"train_torch: {error}\n")


if __name__ == "__main__":
    main()
