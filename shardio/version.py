"""The version of the three packages.

In a module, since beside a folder called `shardio`, such as a clone, that is what `import shardio`
finds first, and such a folder has no names.
"""

__version__ = "0.1.0"
