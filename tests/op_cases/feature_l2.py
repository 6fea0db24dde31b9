"""Feature and pixel losses."""

import torch
import torch.nn.functional as F

from bigan import ops
from op_cases.case import ELEMENT, Case


def _layers(number, mixed=False):
    """`number` pairs, first the a's, from a size: rows that grow by one, or IAN's layers from the first.

    `mixed`: the second pair is float32 where the others are of a half type.
    """

    def inputs(shape, dtype, device):
        rows, columns, *sides = shape
        sizes = [
            (rows, columns << k, *(side >> k for side in sides)) if sides else (rows, columns + k)
            for k in range(number)
        ]
        other = torch.float32 if mixed and dtype != torch.float64 else dtype
        types = [other if k == 1 else dtype for k in range(number)]
        pairs = list(zip(sizes, types, strict=True)) * 2
        return [torch.randn(s, dtype=torch.float64).to(device, t) for s, t in pairs]

    return inputs


def _halves(tensors):
    return tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]


def _feature(name, number, weights=None, options=None, mixed=False, outputs=1, **more):
    return Case(
        "feature_l2",
        name,
        _layers(number, mixed),
        lambda *t: ops.feature_l2(*_halves(t), weights, **(options or {}))[:outputs],
        ((4, 8), (3, 37), (1, 1), (0, 16), (5, 0), (2, 3000)),
        ELEMENT,
        rows_apart=False,
        **more,
    )


def _eager_features(distance):
    def eager(*t):
        values = [distance(x, y) for x, y in zip(*_halves(t), strict=True)]
        return (sum(values) / len(values),)

    return eager


def _six(number):
    """Each pair read both ways, two gradients written."""
    return lambda s, n: 3 * n * sum(t.numel() for t in _layers(number)(s, torch.float32, "meta"))


_WEIGHTS = [0.5, 2.0, 1.0]
PIXELS = ((64, 3, 32, 32), (16, 3, 256, 256))
CASES = [
    _feature("mixed", 3, _WEIGHTS, mixed=True, outputs=2, raw=lambda *t: (*_halves(t), _WEIGHTS, 0)),
    _feature("l1-sum", 3, _WEIGHTS, {"distance": "l1", "reduction": "sum"}, mixed=True, outputs=2),
    _feature("batchmean", 1, None, {"reduction": "batchmean"}),
    _feature("ian", 4, 0.25, bench=((16, 128, 32, 32),), bytes=_six(4), eager=_eager_features(F.mse_loss)),
    _feature("pixel-l2", 1, bench=PIXELS, bytes=_six(1), eager=_eager_features(F.mse_loss)),
    _feature(
        "pixel-l1", 1, None, {"distance": "l1"}, bench=PIXELS, bytes=_six(1), eager=_eager_features(F.l1_loss)
    ),
]
