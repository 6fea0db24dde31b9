"""bigan: a training engine for bidirectional GANs, with fused kernels for CPU and GPU."""

import importlib

__version__ = "0.1.0"

_SUBMODULES = (
    "augment",
    "data",
    "engine",
    "errors",
    "export",
    "losses",
    "nets",
    "ops",
    "spectral_norm",
    "systems",
)


def __getattr__(name: str):
    if name in _SUBMODULES:  # loaded at first use: `import bigan` stays quick
        return importlib.import_module(f"bigan.{name}")
    if name == "load":
        return importlib.import_module("bigan.export").load
    raise AttributeError(f"module 'bigan' has no attribute {name!r}")
