"""Rows that are no text: folders of images, Parquet and other tools' sets."""
