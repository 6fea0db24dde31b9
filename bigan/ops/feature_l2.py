"""How far two lists of tensors are apart, to the weighted total over the pairs: feature and pixel losses.

    value_l = the mean or sum over the elements of pair l of (a - b)^2, or of |a - b|
    total   = sum_l weight_l value_l

Feature loss of IAN (Brock et al. 2016, arXiv:1609.07093): the mean square at four layers of the critic,
each with weight 1/4.  VAE/GAN (Larsen et al. 2015, arXiv:1512.09300): the sum of squares at one layer with
weight 1/2.  As a pixel loss: IntroVAE's sum over pixels, mean over the batch; L1 of AGE and IAN.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import define, differentiable, differentiable_by_reference, fake

DISTANCES = ("l2", "l1")
REDUCTIONS = ("mean", "sum", "batchmean")
_L2, _L1 = range(2)
_MEAN, _SUM, _BATCHMEAN = range(3)


def options(distance: int, reduction: int) -> int:
    """Both choices in one number."""
    return distance | reduction << 1


def unpacked(options: int) -> tuple[int, int]:
    return options & 1, options >> 1


def divisor(reduction: int, shape: Sequence[int]) -> int:
    """value = (sum over the elements) / divisor; 0 for the mean of nothing, which is NaN."""
    return {_MEAN: math.prod(shape), _SUM: 1, _BATCHMEAN: shape[0] if len(shape) else 1}[reduction]


def _accumulator(tensors: Sequence[Tensor]) -> torch.dtype:
    """The type sums are kept in: float64 where one pair has it."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether equal places in memory hold equal elements, without gaps: then no order need be kept."""
    if a.is_contiguous() and b.is_contiguous():
        return True
    run = 1  # elements up to the next larger stride
    for stride, size in sorted(zip(a.stride(), a.shape, strict=True)):
        if size != 1:
            if stride != run:
                return False
            run = run * size
    return a.stride() == b.stride()


@define("feature_l2(Tensor[] a, Tensor[] b, float[] weights, int options) -> (Tensor total, Tensor values)")
def _reference(a, b, weights, options):
    """Pairs of any shapes -> [], [L]"""
    distance, reduction = unpacked(options)
    acc = _accumulator(a)
    values = []
    for x, y in zip(a, b, strict=True):
        d = x.to(acc) - y.to(acc)
        values.append((d.abs() if distance == _L1 else d.square()).sum() / divisor(reduction, x.shape))
    total = values[0] * weights[0]
    for w, value in zip(weights[1:], values[1:], strict=True):
        total = total + w * value
    return total, torch.stack(values)


@define(
    "feature_l2_backward(Tensor? grad_total, Tensor? grad_values, Tensor[] a, Tensor[] b, float[] weights, "
    "int options, bool[] wanted) -> Tensor[]"
)
def _reference_backward(grad_total, grad_values, a, b, weights, options, wanted):
    """-> the gradients of those of (*a, *b) that are wanted."""
    distance, reduction = unpacked(options)
    acc = _accumulator(a)
    by_a, by_b = [], []
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        if not (wanted[k] or wanted[len(a) + k]):
            continue
        c = torch.zeros((), dtype=acc, device=x.device)
        if grad_total is not None:
            c = c + weights[k] * grad_total
        if grad_values is not None:
            c = c + grad_values[k]
        d = x.to(acc) - y.to(acc)
        still = d.detach()  # the sign of 0 is 0, of NaN NaN; a sign does not change
        slope = torch.where(still > 0, 1, torch.where(still < 0, -1, still)) if distance == _L1 else 2 * d
        grad = (c / divisor(reduction, x.shape) * slope).to(x.dtype)
        grad = grad if same_memory(x, y) else grad.contiguous()
        by_a += [grad] * wanted[k]
        by_b += [-grad] * wanted[len(a) + k]
    return by_a + by_b


@fake("feature_l2")
def _(a, b, weights, options):
    acc = _accumulator(a)
    return a[0].new_empty((), dtype=acc), a[0].new_empty(len(a), dtype=acc)


@fake("feature_l2_backward")
def _(grad_total, grad_values, a, b, weights, options, wanted):
    return [
        x.new_empty_strided(x.shape, x.stride()) if same_memory(x, y) else x.new_empty(x.shape)
        for x, y, asked in zip((*a, *b), (*b, *a), wanted, strict=True)
        if asked
    ]


def _save(ctx, inputs, outputs):
    a, b, *ctx.rest = inputs
    ctx.save_for_backward(*a, *b)


def _backward(ctx, grad_total, grad_values):
    wanted = list(ctx.needs_input_grad[:-1])
    count = len(wanted) // 2
    if grad_total is None and grad_values is None:
        return None, None
    tensors = ctx.saved_tensors
    found = iter(_gradient(grad_total, grad_values, tensors[:count], tensors[count:], *ctx.rest, wanted))
    grads = [next(found) if asked else None for asked in wanted]
    return grads[:count], grads[count:]


_gradient = differentiable_by_reference("feature_l2_backward", wanted=4)
_forward = differentiable("feature_l2", 2, _save, _backward)


def _weights(op: str, weights: float | Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    if isinstance(weights, (int, float)):
        weights = [weights] * count
    if not isinstance(weights, (list, tuple)) or len(weights) != count:
        _checks.fail(op, "weights", f"be a number, or one for each of the {count} pairs", weights)
    for k, w in enumerate(weights):
        if not isinstance(w, (int, float)) or not math.isfinite(w):
            _checks.fail(op, f"weights[{k}]", "be a finite number", w)
    return [float(w) for w in weights]


def feature_l2(
    a: Tensor | Sequence[Tensor],
    b: Tensor | Sequence[Tensor],
    weights: float | Sequence[float] | None = None,
    *,
    distance: str = "l2",
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """The weighted sum of the distances of L pairs of tensors, from one read of each: one launch for all.

    a, b: lists of tensors, or one tensor each; a[l] and b[l] have one shape and type (float64, float32,
    float16 or bfloat16), pairs may differ in both.  Nothing is broadcast.  Read where they stand if a[l] and
    b[l] are laid out alike without gaps (both contiguous, both channels_last), else copied.
    weights: one finite number for each pair, or one for all; 1 if not given.
    distance: "l2", (a - b)^2, or "l1", |a - b|.
    reduction: over the elements of a pair: "mean", "sum", or "batchmean", the sum over the first dimension's.

    Returns (total, values): [] and [L], the sum with weights and each pair's own without; float32 (float64
    if a pair has it), accumulated in that type.  No pairs give 0, on the CPU; the mean of an empty tensor is
    NaN.  Raises ValueError naming the argument.  Both are differentiable any number of times by a and b; the
    gradient of a tensor that does not require it is not computed.  CUDA makes one launch each way for every
    32 pairs, Triton one for each pair.
    """
    op = "feature_l2"
    if isinstance(a, Tensor):
        if not isinstance(b, Tensor):
            raise TypeError(f"{op}: b must be a tensor as a is, got {_checks.form(b)}")
        a, b, names = [a], [b], ("a", "b")
    else:
        for name, value in (("a", a), ("b", b)):
            if not isinstance(value, (list, tuple)):
                raise TypeError(f"{op}: {name} must be a list of tensors, got {_checks.form(value)}")
        if len(a) != len(b):
            raise ValueError(f"{op}: b must have as many tensors as a ({len(a)}), got {len(b)}")
        a, b, names = list(a), list(b), ("a[{}]", "b[{}]")
    code = options(
        _checks.choice(op, "distance", distance, DISTANCES),
        _checks.choice(op, "reduction", reduction, REDUCTIONS),
    )
    numbers = _weights(op, weights, len(a))
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        name_a = names[0].format(k)
        _checks.floating(op, name_a, x)
        if _checks.autocast(x, y):
            wide = torch.promote_types(x.dtype, y.dtype)
            x, y = a[k], b[k] = x.to(wide), y.to(wide)
        _checks.same(op, names[1].format(k), y, name_a, x)
        if x.device != a[0].device:
            _checks.fail(op, name_a, f"be on the device of a[0] ({a[0].device})", x)
        if reduction == "batchmean" and x.dim() == 0:
            _checks.fail(op, name_a, 'have a batch dimension with reduction="batchmean"', x)
    if not a:
        return torch.zeros(()), torch.zeros(0)
    return _forward(a, b, numbers, code)
