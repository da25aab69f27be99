"""Tables as text: CSV, TSV, JSON."""
