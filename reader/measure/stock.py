"""The same shards through tf.data's own best idiom, to compare with. It imports tensorflow."""

from __future__ import annotations

from typing import Any

from reader.shardset import ShardSet
from shardio.errors import MissingExtraError, OptionError
from shardio.format.label import CLASS

_PIECE = 8 << 20
# What is usual, and no more memory than this.
_SHUFFLED = 10_000
_SHUFFLED_BYTES = 256 << 20


def shuffle_buffer(shards: ShardSet) -> int:
    """Return how many records the shuffle buffer holds."""
    return max(1, min(_SHUFFLED, _SHUFFLED_BYTES // shards.kind.record_bytes, len(shards)))


def check_stock(shards: ShardSet) -> None:
    """Raise OptionError where tf.data's own readers cannot give the images of a set."""
    if not shards.is_local:
        raise OptionError(
            "--against stock reads local files only: copy the shards to a disk, with shardio-read "
            "stage, or mount them"
        )
    if shards.kind.example.resized:
        raise OptionError(
            "--against stock takes images as they are stored: leave out --size, for shards whose "
            "images have one size"
        )
    if not shards.kind.example.plain:
        raise OptionError("--against stock reads raw pixels as 8-bit integers only")


def stock(shards: ShardSet, batch_size: int, *, shuffled: int) -> Any:
    """Make the `tf.data.Dataset` that a good tutorial makes of the shards, uint8 images.

    Several files at once, a shuffle buffer of `shuffled` records (0 shuffles nothing), batches,
    each parsed by one call, and batches made ahead. Its elements are (x, (y0, y1, ...)).
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError(
            "--against stock needs TensorFlow: it comes with shardio's extra [tensorflow]"
        ) from error
    height, width, channels = shards.shape
    form = shards.kind.example
    features = {form.image: tf.io.FixedLenFeature([], tf.string)}
    for label in shards.labels:
        kind = label.kind
        shape = [] if kind.length == 1 else [kind.length]
        default = form.missing if kind == CLASS else None
        dtype = tf.float32 if kind.is_float else tf.int64
        features[label.name] = tf.io.FixedLenFeature(shape, dtype, default)

    def decoded(data: Any) -> Any:
        pixels = tf.io.decode_image(data, channels, expand_animations=False)
        return tf.ensure_shape(pixels, (height, width, channels))

    def parsed(records: Any) -> Any:
        found = tf.io.parse_example(records, features)
        data = found[form.image]
        if form.encoded:
            x = tf.map_fn(decoded, data, fn_output_signature=tf.uint8)
        else:
            x = tf.reshape(tf.io.decode_raw(data, tf.uint8), (-1, height, width, channels))
        return x, tuple(found[label.name] for label in shards.labels)

    paths = [shard.path for shard in shards.shards if shard.records]
    files = tf.data.Dataset.from_tensor_slices(paths)
    if shuffled:
        files = files.shuffle(len(paths))
    records = files.interleave(
        lambda path: tf.data.TFRecordDataset(path, buffer_size=_PIECE),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=not shuffled,
    )
    if shuffled:
        records = records.shuffle(shuffled)
    batches = records.batch(batch_size, drop_remainder=True)
    return batches.map(parsed, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
