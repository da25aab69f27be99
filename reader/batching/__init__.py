"""From options to batches: ranks, steps, the memory plan, and streams that can be resumed."""
