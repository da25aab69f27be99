"""Training that survives a kill: everything that it needs to go on is saved together.

`fit` is Keras's `fit` for a stream of batches. `Saves` is what it keeps its saves in, for loops of
one's own. Neither imports a framework before it is used.
"""

from reader.resume.fit import fit
from reader.resume.saves import Saves

__all__ = ["Saves", "fit"]
