"""Argument checks with one wording for every operator and backend: name, what was expected, what came."""

from typing import Any

import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def form(value: Any) -> str:
    """`[5, 37] float32 cpu`"""
    if not isinstance(value, Tensor):
        return f"{value!r} ({type(value).__name__})"
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')} {value.device}"


def fail(op: str, name: str, expected: str, got: Any) -> None:
    raise ValueError(f"{op}: {name} must {expected}, got {form(got)}")


def tensor(op: str, name: str, value: Any, rank: str = "") -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor{rank}, got {form(value)}")


def floating(op: str, name: str, value: Any, rank: str = "") -> None:
    """A float64, float32, float16 or bfloat16 tensor."""
    tensor(op, name, value, rank)
    if value.dtype not in FLOATS:
        fail(op, name, "be float64, float32, float16 or bfloat16", value)


def batch(op: str, name: str, value: Any) -> None:
    """A floating tensor with a batch dimension and at least one more."""
    floating(op, name, value)
    if value.dim() < 2:
        fail(op, name, "be [B, Z] (or [B, ...])", value)


def same(op: str, name: str, value: Any, of: str, other: Tensor) -> None:
    """Shape, dtype and device of another argument; nothing is broadcast."""
    tensor(op, name, value)
    if value.shape != other.shape or value.dtype != other.dtype or value.device != other.device:
        fail(op, name, f"match {of} ({form(other)})", value)


def autocast(t: Tensor, other: Any) -> bool:
    """Whether two tensors are of two types as autocast leaves them, which makes no mistake of it."""
    return (
        isinstance(other, Tensor)
        and other.dtype != t.dtype
        and t.device.type in ("cpu", "cuda")
        and torch.is_autocast_enabled(t.device.type)
        and other.dtype in FLOATS
    )


def same_kind(op: str, name: str, value: Any, of: str, other: Tensor) -> None:
    """Dtype and device of another argument; the shape is free."""
    tensor(op, name, value)
    if value.dtype != other.dtype or value.device != other.device:
        fail(op, name, f"have the dtype and device of {of} ({form(other)})", value)


def count(op: str, name: str, value: Any) -> None:
    """How many of something: not more than there are counters for."""
    if not isinstance(value, (int, torch.SymInt)) or not 0 <= value < 2**32:
        fail(op, name, "be an integer in [0, 2**32)", value)


def fraction(op: str, name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        fail(op, name, "be a number in [0, 1)", value)


def choice(op: str, name: str, value: Any, choices: tuple[str, ...]) -> int:
    """Position of `value` among `choices`."""
    if not isinstance(value, str) or value not in choices:
        fail(op, name, f"be one of {', '.join(map(repr, choices))}", value)
    return choices.index(value)


def rng(op: str, value: Any, device: torch.device) -> None:
    tensor(op, "rng", value)
    if value.shape != (2,) or value.dtype != torch.int64 or value.device != device:
        fail(op, "rng", f"be (seed, step): [2] int64 {device}", value)


def sample_id(op: str, value: Any, batch: int, device: torch.device) -> None:
    tensor(op, "sample_id", value)
    if value.shape != (batch,) or value.dtype != torch.int64 or value.device != device:
        fail(op, "sample_id", f"be one id a sample: [{batch}] int64 {device}", value)
