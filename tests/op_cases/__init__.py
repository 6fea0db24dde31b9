"""One declaration of every operator's inputs: tests and benchmarks draw from it.

A new operator's file here has its CASES, which are then tested for values, gradients, second gradients, opcheck,
compilation, determinism and copies, in every backend and type, and benchmarked.
"""

import importlib
import pkgutil

from op_cases.case import Case

CASES: list[Case] = []
for _found in sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "case"):
    CASES += importlib.import_module(f"{__name__}.{_found}").CASES

__all__ = ["CASES", "Case"]
