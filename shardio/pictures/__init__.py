"""Pictures for people: contact sheets with labels, and images in a terminal.

Pillow is imported only where pictures are made; glyphs come from a bundle in this folder.
"""
