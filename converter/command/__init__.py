"""The command line, `shardio-convert`."""
