"""Images from whatever people have them in, as one uint8 tensor, and the order in which a run reads them.

`load` understands names (`digits`, `cifar10`, ...) and paths; each format is one file in `formats/`, found
by its name.  Nothing is ever downloaded, extracted to disk or unpickled by pickle's own rules.
"""

from .attributes import conditioned, having
from .batches import Batches, scale
from .images import DataError, Images, split
from .loader import load
from .named import NAMES

__all__ = ["NAMES", "Batches", "DataError", "Images", "conditioned", "having", "load", "scale", "split"]
