"""Walks between codes."""

import torch
from torch import Tensor


def walk(a: Tensor, b: Tensor, steps: int, path: str = "sphere") -> Tensor:
    """Codes from a to b, both included.  [n, Z], [n, Z] -> [n, steps, Z]

    "sphere": the direction moves along the great circle (Shoemake 1985), the length linearly.  In many
    dimensions a straight line between two codes of a Gaussian prior passes near the origin, where the prior
    has no mass and the generator was not trained (White 2016, arXiv:1609.04468).  Where the great circle is
    not defined (a zero code, equal or opposite directions) the line is taken.
    """
    t = torch.linspace(0, 1, steps, device=a.device, dtype=a.dtype)[:, None]  # [steps, 1]
    a, b = a[:, None], b[:, None]  # [n, 1, Z]
    line = torch.lerp(a, b, t)
    if path == "line":
        return line
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    u, v = a / length_a, b / length_b
    angle = (u * v).sum(-1, keepdim=True).clamp(-1, 1).acos()  # [n, 1, 1]
    direction = (((1 - t) * angle).sin() * u + (t * angle).sin() * v) / angle.sin()
    arc = torch.lerp(length_a, length_b, t) * direction
    return torch.where((angle.sin() > 1e-3) & arc.isfinite(), arc, line)
