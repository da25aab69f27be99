"""Rows: read, checked, numbered, dealt to splits; on disk, in slices."""
