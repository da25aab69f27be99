from typing import Any

from numpy.typing import NDArray

def layout(
    head: bytes, image_bytes: int, tail_bytes: int, places: tuple[int, ...], instruction: bool
) -> Any: ...
def map(file: int, size: int) -> tuple[Any, int]: ...
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
