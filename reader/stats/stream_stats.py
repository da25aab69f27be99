"""The numbers of a stream of batches, or of all streams of a set."""

from __future__ import annotations

from dataclasses import dataclass

# The numbers of a stream that may be added up, in their order.
Sums = tuple[float, ...]


@dataclass(frozen=True)
class StreamStats:
    """What a stream has given since it was made, or all streams of a set.

    Seconds of making are those of all threads that do it, together.
    """

    batches: int
    images: int
    bytes: int
    """Of images, labels, weights and rows, as the caller gets them."""
    waited: float | None
    """Seconds that whoever asks for batches waited; None of `to_tf_dataset`, which TensorFlow
    reads ahead. In the processes of a DataLoader it is these processes that ask."""
    reading: float
    """Seconds of reading; where compiled code reads, with the checks and the decoding of raw
    pixels, which are one pass over the bytes."""
    decoding: float
    """Seconds of decoding what was read, where that is a step of its own."""
    transform: float
    """Seconds within the function `transform`."""
    ahead: int
    """Batches of this process that are being made or are ready now: the depth of the queues. Those
    within TensorFlow, Keras or a DataLoader are not among them."""
    cached: int
    """Records that were read from copies in the cache."""
    retries: int
    """Requests to storage that were made again, in these processes, for whichever set."""
    skipped: int
    """Damaged records that others took the place of."""
    cpu: float
    """CPU seconds of making; of most batches estimated from each sixteenth."""


def stats_of(sums: Sums, ahead: int, *, sees_wait: bool) -> StreamStats:
    """Return the numbers of `sums` by their names."""
    batches, images, size, waited, reading, decoding, transform, cached, again, skipped, cpu = sums
    return StreamStats(
        int(batches), int(images), int(size), waited if sees_wait else None, reading, decoding,
        transform, ahead, int(cached), int(again), int(skipped), cpu,
    )  # fmt: skip
