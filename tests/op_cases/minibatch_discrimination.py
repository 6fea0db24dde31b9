"""IAN's minibatch discrimination."""

import torch

from bigan import ops
from op_cases.case import ELEMENT, Case

# IAN's kernels of 5 dimensions; 2; several chunks of 8; none; one sample; nothing; more than a tile each way
ACTIVATIONS = ((4, 9, 5), (3, 7, 2), (2, 3, 19), (3, 2, 0), (1, 4, 5), (0, 4, 5), (5, 0, 5), (19, 9, 5))


def _activations(shape, dtype, device):
    """[B, K, D]; a matrix [B, N] becomes [B, N / 4, 5]."""
    batch, kernels, *dims = shape
    size = (batch, kernels, *dims) if dims else (batch, max(1, kernels // 4), 5)
    return [torch.randn(size, dtype=torch.float64).mul(0.4).to(device, dtype)]


def _eager_minibatch_discrimination(a):  # the authors' code
    distance = (a[:, None] - a[None]).abs().sum(3) + 1e6 * torch.eye(len(a), device=a.device)[..., None]
    return ((-distance).exp().sum(1),)


def _minibatch_bytes(shape, itemsize):
    batch, kernels, *dims = shape
    count, dim = (batch * kernels, dims[0]) if dims else (batch * (kernels // 4), 5)
    return count * (3 * dim + 2) * itemsize  # forward x, f; backward x, gradients of f and x


CASES = [
    Case(
        "minibatch_discrimination",
        "l1",
        _activations,
        lambda a: (ops.minibatch_discrimination(a),),
        ACTIVATIONS,
        ELEMENT,
        bench=((16, 500, 5), (128, 500, 5)),  # IAN, IAN_simple
        bytes=_minibatch_bytes,
        eager=_eager_minibatch_discrimination,
        raw=lambda a: (a,),
    ),
]
