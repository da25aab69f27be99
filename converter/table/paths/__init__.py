"""Names of images: listings, spellings, endings, roots."""
