"""How fast a set is read here: storage, decoding, orders, adaptors, and what a model takes."""
