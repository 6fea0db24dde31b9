"""What is special to latent_match: AGE's numbers, one gradient, NaN, errors."""

import math

import pytest
import torch

from bigan import ops


@pytest.mark.parametrize("dim,perfect", [(128, 1.992188), (64, 1.984375)])
def test_ages_cosine(dim, perfect):
    """Spec section 10: equal codes give 2 - 1 / Z, orthogonal ones 2, opposite ones 2 + 1 / Z."""
    a = torch.randn(64, dim)
    for b, want in ((3 * a, perfect), (-a, 4 - perfect)):
        torch.testing.assert_close(ops.latent_match(a, b), torch.tensor(want), rtol=0, atol=1e-6)
    half = torch.zeros(64, dim)
    half[:, : dim // 2] = torch.randn(64, dim // 2)
    assert ops.latent_match(half, half.roll(dim // 2, dims=1)) == 2.0


def test_cosine_is_one_minus_the_mean_cosine():
    a, b = torch.randn(9, 21), torch.randn(9, 21)
    want = 1 - torch.nn.functional.cosine_similarity(a, b).mean()
    torch.testing.assert_close(ops.latent_match(a, b, "cosine"), want)
    torch.testing.assert_close(ops.latent_match(a, b), 2 + (want - 1) / 21)


def test_means_are_over_every_element():
    a, b = torch.randn(9, 21), torch.randn(9, 21)
    functional = torch.nn.functional
    torch.testing.assert_close(ops.latent_match(a, b, "l1"), functional.l1_loss(a, b))
    torch.testing.assert_close(ops.latent_match(a, b, "l2"), functional.mse_loss(a, b))


@pytest.mark.parametrize("match", ["cos", "cosine", "l1", "l2"])
@pytest.mark.parametrize("which", [0, 1])
def test_one_gradient_is_that_of_two(match, which):
    codes = [torch.randn(6, 10, requires_grad=True) for _ in range(2)]
    both = torch.autograd.grad(ops.latent_match(*codes, match), codes)
    codes[1 - which] = codes[1 - which].detach()
    one = torch.autograd.grad(ops.latent_match(*codes, match), codes[which])[0]
    assert torch.equal(one, both[which])


def test_l1_does_not_move_equal_codes():
    a = torch.randn(3, 5, requires_grad=True)
    assert torch.equal(torch.autograd.grad(ops.latent_match(a, a.detach(), "l1"), a)[0], torch.zeros(3, 5))


@pytest.mark.parametrize("match", ["cos", "cosine", "l1", "l2"])
def test_nan_propagates(match):
    a, b = torch.randn(4, 9, requires_grad=True), torch.randn(4, 9)
    b[2, 5] = math.nan
    loss = ops.latent_match(a, b, match)
    assert loss.isnan() and torch.autograd.grad(loss, a)[0][2, 5].isnan()


@pytest.mark.parametrize("match", ["cos", "cosine"])
def test_a_zero_code_has_no_angle(match):
    a = torch.randn(4, 9)
    a[1] = 0
    assert ops.latent_match(a, torch.randn(4, 9), match).isnan()


def test_more_dimensions_are_one_code():
    a, b = torch.randn(3, 8, 1, 1), torch.randn(3, 8, 1, 1)
    assert torch.equal(ops.latent_match(a, b), ops.latent_match(a.flatten(1), b.flatten(1)))


def test_autocast_takes_two_types():
    a, b = torch.randn(4, 6, dtype=torch.bfloat16), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ops.latent_match(a, b)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, ops.latent_match(a.float(), b))


CODES = torch.randn(5, 37)
BAD = [
    ((CODES, torch.randn(5, 3)), ValueError, r"b must match a \(\[5, 37\] float32 cpu\), got \[5, 3\]"),
    ((CODES, torch.randn(5, 37, 1, 1)), ValueError, "b must match a"),  # would broadcast to [5, 37, 5, 37]
    ((CODES, torch.randn(1, 37)), ValueError, "b must match a"),
    ((CODES, CODES.double()), ValueError, "b must match a .*float64"),
    ((CODES, None), TypeError, "b must be a tensor, got None"),
    ((CODES[0], CODES[0]), ValueError, r"a must be \[B, Z\]"),
    ((CODES.long(), CODES.long()), ValueError, "a must be float64, float32, float16 or bfloat16"),
    ((CODES, CODES, "L2"), ValueError, "match must be one of 'cos', 'cosine', 'l1', 'l2', got 'L2'"),
]


@pytest.mark.parametrize("arguments,error,message", BAD, ids=range(len(BAD)))
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=f"^latent_match: {message}"):
        ops.latent_match(*arguments)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((CODES[0], CODES[0], 0), "a must be"),
        ((CODES, CODES[:, :36], 0), "b must match a"),
        ((CODES, CODES, 4), "match must be"),
    ],
)
def test_raw_operator_refuses_what_would_read_outside(arguments, message):
    if reason := ops.backends("latent_match", "cpu")["native"]:
        pytest.skip(reason)
    with pytest.raises(RuntimeError, match=message):
        torch.ops.bigan.latent_match(*arguments)
    with pytest.raises(RuntimeError, match="grad must have 1 elements"):
        torch.ops.bigan.latent_match_backward(torch.ones(2), CODES, CODES, 0, 3)
