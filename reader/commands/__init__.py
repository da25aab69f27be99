"""The commands of `shardio-read`, one file each.

A command is a module with a first line of help as its docstring, `add_arguments`, which takes its
parser, and `run`, which takes the parsed arguments and returns the exit code.
"""
