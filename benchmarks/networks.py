"""Convolutional networks to be fed: ResNet-18, and a small one for machines without an accelerator.

Both are lists of stages, so that PyTorch and JAX train the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A residual network: a stem, then stages of blocks with two convolutions of 3x3 each."""

    name: str
    stem: int
    """Width of the stem's kernel, which takes every second pixel."""
    pool: bool
    """Whether the stem ends with a pooling of 3x3 by 2."""
    stages: tuple[tuple[int, int], ...]
    """Channels and blocks of each stage; all but the first halve the image."""


RESNET_18 = Network("resnet18", 7, True, ((64, 2), (128, 2), (256, 2), (512, 2)))
SMALL = Network("small", 3, False, ((8, 1), (16, 1)))
NETWORKS = {network.name: network for network in (RESNET_18, SMALL)}
