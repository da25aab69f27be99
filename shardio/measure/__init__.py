"""How fast work is done, what it costs, and how both are shown."""
