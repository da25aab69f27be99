"""Which records a set holds, and how often they come: arithmetic on record numbers."""
