"""Triton kernels, one file an operator.  Installed as bigan.kernels: `kernels` is another project's name."""

if __name__ != "bigan.kernels":
    raise ImportError("this folder is bigan's: install bigan (pip install -e .) and import bigan.kernels")
