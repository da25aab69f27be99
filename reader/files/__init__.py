"""Shards as open files: checked at first touch, bounded in number, mapped."""
