"""Finds shards, holds them against the manifest, and makes a set of them."""
