"""Where the bytes of images come from: files, archives, columns of a table."""
