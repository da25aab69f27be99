"""What cells of a table mean: labels, boxes, splits, numbers."""
