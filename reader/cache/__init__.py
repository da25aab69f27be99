"""Shards copied to a local disk while training."""
