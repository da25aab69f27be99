from typing import Any

from numpy.typing import NDArray

def layout(
    head: bytes,
    image_bytes: int,
    tail_bytes: int,
    places: tuple[int, ...],
    widths: bytes,
    instructions: int,
) -> Any: ...
def map(file: int, size: int) -> tuple[Any, int]: ...
def locate(
    ids: NDArray[Any],
    ends: NDArray[Any],
    ready: NDArray[Any],
    descriptors: NDArray[Any],
    bases: NDArray[Any],
    stride: int,
    files: NDArray[Any],
    offsets: NDArray[Any],
    addresses: NDArray[Any],
) -> int: ...
def read(
    layout: Any,
    files: NDArray[Any],
    offsets: NDArray[Any],
    addresses: NDArray[Any] | None,
    images: NDArray[Any],
    scaled: bool,
    integers: NDArray[Any],
    faults: NDArray[Any],
    verify: bool,
) -> int: ...
def begin(
    layout: Any,
    files: NDArray[Any],
    offsets: NDArray[Any],
    addresses: NDArray[Any] | None,
    images: NDArray[Any],
    scaled: bool,
    integers: NDArray[Any],
    faults: NDArray[Any],
    verify: bool,
    deep: bool,
    kept: object,
) -> Any: ...
def advise(file: int, offset: int, size: int, kept: object) -> Any: ...
def wait(begun: Any) -> tuple[int, float, int, float]: ...
def permute(
    keys: NDArray[Any], high_bits: int, low_bits: int, size: int, first: int, values: NDArray[Any]
) -> None: ...
def labels(integers: NDArray[Any], most: NDArray[Any], labels: NDArray[Any]) -> bool: ...
