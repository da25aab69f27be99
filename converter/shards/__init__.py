"""Shards: planned, made, accounted for, repaired."""
