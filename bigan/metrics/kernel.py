"""The kernel distance between two sets of features; with Inception's it is the KID.

Binkowski et al. 2018, arXiv:1801.01401: the squared MMD with k(x, y) = (x.y / D + 1)^3.
"""

import torch
from torch import Tensor

from bigan.metrics import checks
from bigan.metrics.report import Estimate

CHUNK = 1024  # 8 MiB of kernel values, which an allocator keeps for the next chunk


def kernel_distance(real: Tensor, fake: Tensor, chunk: int = CHUNK) -> Estimate:
    """Unbiased squared MMD over all pairs, and its standard error.  [N, D], [M, D] -> Estimate

    value: mean k(x, x') over x != x' + mean k(y, y') over y != y' - 2 mean k(x, y), so it may be negative.
    The usual mean over 100 random subsets of 1000 estimates the same number with more noise.
    spread: the two-sample jackknife's standard error (Arvesen 1969), which needs row sums alone.
    Memory: chunk^2 kernel values; N, M >= 3.
    """
    for name, x in (("real", real), ("fake", fake)):
        checks.table("kernel_distance", name, x, least=3)
    checks.same_columns("kernel_distance", real, fake)
    n, m = len(real), len(fake)
    xx, yy = _own_rows(real, chunk), _own_rows(fake, chunk)  # [N], [M]
    xy, yx = _rows(real, fake, chunk)  # [N], [M]
    between = xy.sum()
    value = xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * between / (n * m)
    # each estimate that leaves one vector out, up to a constant
    without_x = (xx.sum() - 2 * xx) / ((n - 1) * (n - 2)) - 2 * (between - xy) / ((n - 1) * m)
    without_y = (yy.sum() - 2 * yy) / ((m - 1) * (m - 2)) - 2 * (between - yx) / (n * (m - 1))
    variance = (n - 1) * without_x.var(correction=0) + (m - 1) * without_y.var(correction=0)
    return Estimate(value.item(), variance.sqrt().item(), "standard error")


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """[n, D], [m, D] -> [n, m]"""
    k = a.double() @ b.double().T
    return k.div_(a.shape[1]).add_(1).pow_(3)


def _own_rows(x: Tensor, chunk: int) -> Tensor:
    """sum over j != i of k(x_i, x_j), from one half of the matrix.  [N, D] -> [N]"""
    rows = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    starts = range(0, len(x), chunk)
    for i in starts:
        a = x[i : i + chunk]
        for j in starts[i // chunk :]:
            k = _kernel(a, x[j : j + chunk])
            if i == j:
                k.fill_diagonal_(0)
            else:
                rows[j : j + chunk] += k.sum(0)
            rows[i : i + chunk] += k.sum(1)
    return rows


def _rows(x: Tensor, y: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, y_j) over j, and over i.  [N, D], [M, D] -> [N], [M]"""
    rows = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    columns = torch.zeros(len(y), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), chunk):
        for j in range(0, len(y), chunk):
            k = _kernel(x[i : i + chunk], y[j : j + chunk])
            rows[i : i + chunk] += k.sum(1)
            columns[j : j + chunk] += k.sum(0)
    return rows, columns
