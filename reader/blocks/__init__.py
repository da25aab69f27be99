"""Whole blocks of records in memory, for storage where each read is a request."""
