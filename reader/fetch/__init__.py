"""Records by number: the protocol, and records of fixed size through C or NumPy."""
