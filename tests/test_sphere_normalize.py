"""What is special to sphere_normalize: zero rows, NaN, errors."""

import math

import pytest
import torch

from bigan import ops


def test_rows_have_norm_one_and_keep_their_direction():
    x = 100 * torch.randn(64, 128)
    y = ops.sphere_normalize(x)
    torch.testing.assert_close(y.norm(dim=1), torch.ones(64))
    torch.testing.assert_close(y, x / x.norm(dim=1, keepdim=True))


def test_square_batches_are_normalised_by_row():
    """B == Z, as AGE's CelebA: where the norm loses its dimension, columns would be divided (spec 3.5)."""
    x = torch.randn(64, 64)
    torch.testing.assert_close(ops.sphere_normalize(x).norm(dim=1), torch.ones(64))


def test_a_zero_row_is_nan_and_only_that_row():
    x = torch.randn(3, 9)
    x[1] = 0
    y = ops.sphere_normalize(x.requires_grad_())
    grad = torch.autograd.grad(y, x, torch.randn(3, 9))[0]
    for t in (y, grad):
        assert t[1].isnan().all() and t[::2].isfinite().all()


@pytest.mark.parametrize("value,others", [(math.nan, math.nan), (math.inf, 0.0)])
def test_nan_and_inf_propagate_within_the_row(value, others):
    x = torch.ones(2, 9)
    x[1, 4] = value
    y = ops.sphere_normalize(x)
    assert torch.equal(y[0], torch.full((9,), 1 / 3)) and y[1, 4].isnan()
    torch.testing.assert_close(y[1, :4], torch.full((4,), others), equal_nan=True)


def test_more_dimensions_are_one_code():
    x = torch.randn(3, 8, 2, 2)
    y = ops.sphere_normalize(x)
    assert y.shape == x.shape and torch.equal(y.flatten(1), ops.sphere_normalize(x.flatten(1)))


@pytest.mark.parametrize(
    "value,error,message",
    [
        ([1.0], TypeError, r"x must be a tensor, got \[1.0\] \(list\)"),
        (torch.ones(2, 3, dtype=torch.int64), ValueError, r"x must be float64, .*got \[2, 3\] int64 cpu"),
        (torch.ones(3), ValueError, r"x must be \[B, Z\] \(or \[B, ...\]\), got \[3\] float32 cpu"),
    ],
)
def test_bad_arguments_are_named(value, error, message):
    with pytest.raises(error, match=f"^sphere_normalize: {message}"):
        ops.sphere_normalize(value)


def test_raw_operator_refuses_what_would_read_outside():
    if reason := ops.backends("sphere_normalize", "cpu")["native"]:
        pytest.skip(reason)
    with pytest.raises(RuntimeError, match="x must be"):
        torch.ops.bigan.sphere_normalize(torch.randn(3))
    with pytest.raises(RuntimeError, match="grad must match x"):
        torch.ops.bigan.sphere_normalize_backward(torch.randn(3, 4), torch.randn(3, 5))
