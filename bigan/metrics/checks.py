"""What every metric refuses, and how it says so."""

import torch
from torch import Tensor

from bigan.errors import UserError


class MetricError(UserError, ValueError):
    """The metric cannot be had of this; the message names the argument, what was expected and what came."""


def need(ok: bool, metric: str, what: str, got: object) -> None:
    """Refuses the arguments of `metric` unless `ok`."""
    if not ok:
        raise MetricError(f"{metric}: {what}, got {got}")


def table(metric: str, name: str, x: Tensor, least: int, columns: str = "D") -> None:
    """`x` must be a finite float [N, columns] of `least` rows or more."""
    need(isinstance(x, Tensor), metric, f"{name} must be a tensor [N, {columns}]", type(x).__name__)
    form = f"{name} must be floating point [N, {columns}]"
    ok = x.ndim == 2 and x.shape[1] > 0 and x.is_floating_point()
    need(ok, metric, form, f"{list(x.shape)} {str(x.dtype).removeprefix('torch.')}")
    need(len(x) >= least, metric, f"{name} must be {least} images or more", len(x))
    finite(metric, name, x)


def same_columns(metric: str, real: Tensor, fake: Tensor, what: str = "features") -> None:
    ok = real.shape[1] == fake.shape[1]
    need(ok, metric, f"real and fake must have as many {what}", f"{real.shape[1]} and {fake.shape[1]}")


def finite(metric: str, name: str, x: Tensor) -> None:
    """Refuses NaN and infinity, with the number of rows that have them."""
    if x.is_floating_point() and not torch.isfinite(x.sum()):  # one pass; a sum may overflow, so look again
        bad = int((~x.isfinite()).flatten(1).any(1).sum())
        need(bad == 0, metric, f"{name} must be finite", f"NaN or infinity in {bad} of {len(x)} rows")


def logits(metric: str, name: str, x: Tensor, least: int) -> None:
    """`x` must be a finite float [N, K] of two classes or more."""
    table(metric, name, x, least, "K")
    need(x.shape[1] > 1, metric, f"{name} must have two classes or more (a class distribution)", x.shape[1])


def eight_bit(images: Tensor, name: str = "images") -> Tensor:
    """Images as they would be saved: [N, C, H, W] uint8, C 1 or 3; floats in [0, 1] are rounded.

    Raises MetricError for other shapes, NaN, and values outside [0, 1].
    """
    form = f"{name} must be [N, C, H, W], C 1 (grey) or 3 (RGB)"
    ok = isinstance(images, Tensor) and images.ndim == 4 and images.shape[1] in (1, 3) and len(images) > 0
    shape = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
    need(ok, "images", form, shape)
    if images.dtype == torch.uint8:
        return images
    kind = f"{name} must be uint8, or floating point in [0, 1]"
    need(images.is_floating_point(), "images", kind, str(images.dtype).removeprefix("torch."))
    finite("images", name, images)
    low, high = (v.item() for v in images.aminmax())
    need(low >= 0 and high <= 1, "images", kind, f"values from {low:g} to {high:g}")
    return (images * 255).round().to(torch.uint8)
