"""What streams have given, how long it took, and how long their callers waited."""
