"""What both halves know of image files: what they are and claim, their colours, their centre."""
