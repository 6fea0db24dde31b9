"""What kernels over the rows of matrices share, on the side of the launch."""

import torch
import triton
import triton.language as tl


def plain(t):
    """Rows may be strided, elements of a row may not."""
    return t if t.shape[1] <= 1 or t.stride(1) == 1 else t.contiguous()


def block(Z):
    return min(1024, max(4, triton.next_power_of_2(Z)))


def wide(dtype):
    """The type sums are kept in: torch's and Triton's."""
    return (torch.float64, tl.float64) if dtype == torch.float64 else (torch.float32, tl.float32)
