"""The compiled part of the reader; all else is in pyproject.toml.

Where it cannot be compiled the package installs without it, and the reader uses NumPy.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "reader._core",
            ["reader/_core.c"],
            extra_compile_args=["-O3", "-std=c11", "-D_GNU_SOURCE"],
            optional=True,
        )
    ]
)
