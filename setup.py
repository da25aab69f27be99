"""The compiled parts of the package; all else is in pyproject.toml.

Where they cannot be compiled the package installs without them: the reader uses NumPy then, and the
converter reads ahead with threads of Python.
"""

from glob import glob

from setuptools import Extension, setup

_FLAGS = ["-O3", "-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden"]


def _extension(name: str, sources: str) -> Extension:
    folder = name.rpartition(".")[0].replace(".", "/")
    return Extension(
        name,
        sorted(glob(f"{folder}/{sources}")),
        depends=sorted(glob(f"{folder}/*.h")),
        extra_compile_args=_FLAGS,
        optional=True,
    )


setup(
    ext_modules=[
        _extension("reader.core._core", "*.c"),
        _extension("converter.sources._files", "_files.c"),
    ]
)
