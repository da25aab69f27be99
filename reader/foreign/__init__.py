"""Shards whose records differ in size: encoded images, and Examples of other tools."""
