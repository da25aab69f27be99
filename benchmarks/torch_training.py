"""Training steps in PyTorch as they are written for speed, and batches on their way to the device.

Images come as uint8 and are scaled on the device. Batches are copied from pinned memory on a stream
of their own, one ahead, so that the copy of the next one goes on during the step of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from networks import Network
from torch import nn
from torch.nn import functional


class _Block(nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        same = before == channels and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        )

    def forward(self, x: Any) -> Any:
        found = functional.relu(self.first_norm(self.first(x)), inplace=True)
        found = self.second_norm(self.second(found))
        return functional.relu(found + self.shortcut(x), inplace=True)


def build(network: Network, channels: int, classes: int) -> Any:
    """Return the network as a module."""
    width = network.stages[0][0]
    layers = [
        nn.Conv2d(channels, width, network.stem, 2, network.stem // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    if network.pool:
        layers.append(nn.MaxPool2d(3, 2, 1))
    for stage, (after, blocks) in enumerate(network.stages):
        for block in range(blocks):
            layers.append(_Block(width, after, 2 if stage and not block else 1))
            width = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    return nn.Sequential(*layers)


class Training:
    """A model with its optimizer, and a step."""

    def __init__(self, network: Network, channels: int, classes: int, device: Any) -> None:
        self.device = device
        self._model = build(network, channels, classes).to(
            device, memory_format=torch.channels_last
        )
        fused = device.type == "cuda"
        self._optimizer = torch.optim.SGD(self._model.parameters(), 0.05, momentum=0.9, fused=fused)
        if fused:
            torch.backends.cudnn.benchmark = True

    def step(self, x: Any, y: Any) -> Any:
        """Train on images uint8 (batch, height, width, channels); returns the loss.

        All are on the device.
        """
        # Seen as (batch, channels, height, width) this memory is what channels_last means.
        images = x.permute(0, 3, 1, 2)
        on_gpu = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on_gpu):
            images = images.to(torch.bfloat16 if on_gpu else torch.float32).div_(255)
            loss = functional.cross_entropy(self._model(images), y)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def on_device(batches: Iterable[Any], device: Any) -> Iterator[tuple[Any, Any]]:
    """Yield batches (x, y) on the device, the next one on its way meanwhile."""
    if device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)

    def send(pair: Any) -> Any:
        # What a loader has pinned already is left as it is.
        pinned = [part if part.is_pinned() else part.pin_memory() for part in pair]
        with torch.cuda.stream(copies):
            # The memory that was pinned is kept by the allocator until the copy has ended.
            return [part.to(device, non_blocking=True) for part in pinned]

    iterator = iter(batches)
    following = next(iterator, None)
    sent = None if following is None else send(following)
    while sent is not None:
        current = torch.cuda.current_stream(device)
        current.wait_stream(copies)
        for part in sent:
            part.record_stream(current)
        yield tuple(sent)  # the step is under way when the caller comes back
        following = next(iterator, None)
        sent = None if following is None else send(following)
