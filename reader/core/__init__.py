"""The compiled part: records in C, and what needs nothing but it."""
