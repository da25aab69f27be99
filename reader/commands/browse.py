"""show the set in a browser: every record, found by labels and texts, sorted, marked"""

from __future__ import annotations

import argparse

from reader.browse.server import LOOPBACK, Server
from reader.browse.site import Site
from reader.commands.shard_arguments import add_shard_arguments, open_named
from shardio.errors import DatasetError
from shardio.grammar import counted
from shardio.pictures.picture import check_pillow
from shardio.plain_text import plain_text

_PORT = 8765


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="where to serve the pages (default: %(default)s, for this machine alone); elsewhere "
        "the address that is printed has a token in it",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=_PORT,
        metavar="N",
        help="its port, 0 for any that is free (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C."""
    check_pillow()
    shards = open_named(arguments)
    if not len(shards):
        raise DatasetError("there are no records to show: all shards are empty")
    site = Site(shards)
    server = Server(site, arguments.host, arguments.port)
    said = f"{counted(len(shards), 'record')} of {' '.join(arguments.shards)}"
    print(f"{server.address} shows {plain_text(said)}; Ctrl-C ends it", flush=True)
    site.begin()
    try:
        server.run()
    finally:
        site.stop()
    return 0


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {text}")
    return number
