"""A folder of any storage as a read-only file system."""
