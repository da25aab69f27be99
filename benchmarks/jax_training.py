"""Training steps in JAX, of the same networks as in PyTorch; batches come through DLPack."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from networks import Network

_Parameters = dict[str, Any]


def _conv(x: Any, kernel: Any, stride: int) -> Any:
    # Kernels of PyTorch's padding: half of the width on each side.
    half = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (stride, stride),
        [(half, half)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _norm(x: Any, scale: Any) -> Any:
    """Normalize by the batch, as BatchNorm does while it trains."""
    values = x.astype(jnp.float32)
    mean = values.mean((0, 1, 2))
    variance = jnp.square(values).mean((0, 1, 2)) - jnp.square(mean)
    found = (values - mean) * jax.lax.rsqrt(variance + 1e-5) * scale[0] + scale[1]
    return found.astype(x.dtype)


def parameters(network: Network, channels: int, classes: int) -> _Parameters:
    """Return the weights that training begins with."""
    found: _Parameters = {}
    key = jax.random.key(0)

    def convolution(name: str, width: int, before: int, after: int) -> None:
        shape = width, width, before, after
        deviation = (2 / (width * width * before)) ** 0.5
        each = jax.random.fold_in(key, len(found))
        found[name] = deviation * jax.random.normal(each, shape)
        found[f"{name} norm"] = jnp.stack([jnp.ones(after), jnp.zeros(after)])

    before = network.stages[0][0]
    convolution("stem", network.stem, channels, before)
    for stage, (after, blocks) in enumerate(network.stages):
        for block in range(blocks):
            name = f"{stage} {block}"
            convolution(f"{name} first", 3, before, after)
            convolution(f"{name} second", 3, after, after)
            if before != after:
                convolution(f"{name} shortcut", 1, before, after)
            before = after
    found["head"] = jnp.zeros((before, classes))
    return found


def _loss(weights: _Parameters, network: Network, dtype: Any, x: Any, y: Any) -> Any:
    def layer(name: str, found: Any, stride: int = 1) -> Any:
        return _norm(_conv(found, weights[name], stride), weights[f"{name} norm"])

    found = jax.nn.relu(layer("stem", x.astype(dtype) / 255, 2))
    if network.pool:
        found = jax.lax.reduce_window(
            found,
            -jnp.inf,
            jax.lax.max,
            (1, 3, 3, 1),
            (1, 2, 2, 1),
            [(0, 0), (1, 1), (1, 1), (0, 0)],
        )
    for stage, (_, blocks) in enumerate(network.stages):
        for block in range(blocks):
            name, stride = f"{stage} {block}", 2 if stage and not block else 1
            inner = jax.nn.relu(layer(f"{name} first", found, stride))
            inner = layer(f"{name} second", inner)
            has_shortcut = f"{name} shortcut" in weights
            shortcut = layer(f"{name} shortcut", found, stride) if has_shortcut else found
            found = jax.nn.relu(inner + shortcut)
    logits = found.astype(jnp.float32).mean((1, 2)) @ weights["head"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _step(
    network: Network, dtype: Any, weights: _Parameters, moments: _Parameters, x: Any, y: Any
) -> tuple[_Parameters, _Parameters, Any]:
    loss, slopes = jax.value_and_grad(_loss)(weights, network, dtype, x, y)
    moments = jax.tree.map(lambda moment, slope: 0.9 * moment + slope, moments, slopes)
    weights = jax.tree.map(lambda weight, moment: weight - 0.05 * moment, weights, moments)
    return weights, moments, loss


class Training:
    """Weights with their moments, and a step."""

    def __init__(self, network: Network, channels: int, classes: int) -> None:
        self._network = network
        self._dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
        self._weights = parameters(network, channels, classes)
        self._moments = jax.tree.map(jnp.zeros_like, self._weights)

    def step(self, x: Any, y: Any) -> Any:
        """Train on images uint8 (batch, height, width, channels); returns the loss.

        Both are tensors of PyTorch on the device, whose memory JAX uses as it is.
        """
        x, y = jax.dlpack.from_dlpack(x), jax.dlpack.from_dlpack(y)
        self._weights, self._moments, loss = _step(
            self._network, self._dtype, self._weights, self._moments, x, y
        )
        return loss

    def wait(self) -> None:
        """Wait until the device has done everything."""
        jax.block_until_ready(self._weights)
