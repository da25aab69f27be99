"""The compiled parts of the package; all else is in pyproject.toml.

Where they cannot be compiled the package installs without them: the reader uses NumPy then, and the
converter reads ahead with threads of Python.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            name,
            [f"{name.replace('.', '/')}.c"],
            extra_compile_args=["-O3", "-std=c11", "-D_GNU_SOURCE"],
            optional=True,
        )
        for name in ("reader._core", "converter._files")
    ]
)
