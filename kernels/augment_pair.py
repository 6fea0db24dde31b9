"""Triton kernels of `augment_pair`: see kernels/_images.py."""

from bigan.kernels import _images
from bigan.ops._augment import How


def augment_pair(x, *how):
    return _images.forward(x, None, How(*how)._replace(mirror=None, mirror_below=0))


def augment_pair_backward(grad_out, grad_original, *how):
    return _images.backward(grad_out, grad_original, How(*how))
