"""What a case of an operator is, the tolerances and the sizes that many share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# Relative and absolute tolerance by type.  The reference runs in float64 on the same (rounded) inputs, so
# what is left is the operator's own rounding: a few ulps of a float32 sum, one rounding to half types.
ELEMENT = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
# Noise is computed in float32 whatever the type of the data: cos and sin of 2 pi u differ by a few 1e-7
# between backends, times sigma.
NOISE = ELEMENT | {torch.float64: 2e-5, torch.float32: 2e-5}


@dataclass(frozen=True)
class Case:
    """A way to call an operator.

    inputs(shape, dtype, device): the differentiable tensors; where an operator takes several of different
    shapes, `shape` is a size from which they are made.  call(*inputs): the outputs, as a tuple; the last
    `constants` of them have no gradient (accuracies, say).
    bytes(shape, itemsize): least traffic of a perfect kernel, forward and backward.
    eager(*inputs): what people write without bigan, the benchmark's rival.
    """

    op: str
    name: str
    inputs: Callable[..., list[Tensor]]
    call: Callable[..., tuple[Tensor, ...]]
    shapes: tuple[tuple[int, ...], ...]
    tol: dict[torch.dtype, float]
    bench: tuple[tuple[int, ...], ...] = ()
    bytes: Callable[[tuple[int, ...], int], int] | None = None
    eager: Callable[..., tuple[Tensor, ...]] | None = None
    raw: Callable[..., tuple[Any, ...]] | None = None  # arguments of the raw operator, for opcheck
    differentiable: bool = True
    constants: int = 0
    small: tuple[int, ...] = (3, 5)  # for second gradients, whose number is the square of the elements
    rows_apart: bool = True  # rows that stand apart are read where they stand
    launches: tuple[int, int] = (1, 1)  # of a GPU, forward and backward
    numeric: bool = True  # the gradient is the derivative of the values
    passes: int = 1  # how often a kernel may read an element
    dtypes: tuple[torch.dtype, ...] = field(default=tuple(ELEMENT))

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def graded(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs that have a gradient; holds the others to having none."""
        count = len(outputs) - self.constants
        assert not any(o.requires_grad for o in outputs[count:])
        return tuple(outputs[:count])


def randn(count: int) -> Callable[..., list[Tensor]]:
    def inputs(shape, dtype, device):
        return [torch.randn(shape, dtype=torch.float64).to(device, dtype) for _ in range(count)]

    return inputs


def seed(device: torch.device) -> Tensor:
    return torch.tensor([0x9E3779B97F4A7C15 - 2**64, 41], device=device)  # both words of the seed in use


# small, odd, one, no rows, no columns, longer than every block
MATRICES = ((4, 8), (3, 37), (1, 1), (0, 16), (5, 0), (2, 1500))
