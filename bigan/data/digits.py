"""The 1797 handwritten digits that scikit-learn carries: 8 x 8 pixels, 17 greys.  Nothing to download.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
(its test part).
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from .arrays import assemble
from .images import DataError, Images, Want


def read(want: Want) -> Images:
    x, labels = _table()
    images = np.rint(x * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return assemble("digits", [images], labels, want, classes=list("0123456789"))


def _table() -> tuple[np.ndarray, np.ndarray]:
    """[1797, 64] of 0 to 16 and [1797] labels."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the data set 'digits' comes with scikit-learn: pip install scikit-learn")
    for folder in spec.submodule_search_locations:
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():  # 40 ms, where importing sklearn.datasets takes 2 s
            with gzip.open(file, "rt") as stream:
                rows = np.loadtxt(stream, delimiter=",")
            return rows[:, :64], rows[:, 64].astype(np.int64)
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)
