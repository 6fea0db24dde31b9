"""What is special to moment_kl: AGE's numbers, closed forms, precision, collapse, errors."""

import math

import pytest
import torch

from bigan import ops


def with_moments(mean, var, dim, batch=64):
    """Codes whose moments are exactly these."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(batch // 2)[:, None]
    return mean + math.sqrt(var) * signs.expand(batch, dim)


@pytest.mark.parametrize("dim,published,correct", [(128, 4.35206, 1.92992), (64, 3.65901, 1.58725)])
def test_ages_minimum(dim, published, correct):
    """Spec section 10: codes on the sphere cannot do better than m = 0, v = 1 / Z."""
    codes = with_moments(0.0, 1 / dim, dim)
    for dtype in (torch.float64, torch.float32):
        for variant, want in (("published", published), ("correct", correct)):
            kl, mean, var = ops.moment_kl(codes.to(dtype), variant=variant)
            torch.testing.assert_close(kl, torch.tensor(want, dtype=dtype), rtol=0, atol=1e-5)
            torch.testing.assert_close(mean, torch.zeros(dim, dtype=dtype), rtol=0, atol=1e-8)
            torch.testing.assert_close(var, torch.full((dim,), 1 / dim, dtype=dtype))


def test_the_published_form_pulls_about_twice_as_hard():
    """(v - 1/v) over (1 - 1/v) / 2 at v = 1/128: spec section 3.2."""
    codes = with_moments(0.0, 1 / 128, 128).requires_grad_()
    grads = [
        torch.autograd.grad(ops.moment_kl(codes, variant=variant)[0], codes)[0]
        for variant in ("published", "correct")
    ]
    assert (grads[0] / grads[1]).mean().item() == pytest.approx(2.016, abs=1e-3)


@pytest.mark.parametrize("mean,var", [(0.0, 1.0), (0.7, 0.3), (-2.0, 4.0)])
def test_closed_forms(mean, var):
    codes = with_moments(mean, var, 3)
    q = torch.distributions.Normal(torch.tensor(mean).double(), math.sqrt(var))
    slipped = torch.distributions.Normal(torch.tensor(mean).double(), var)  # the variance as the deviation
    p = torch.distributions.Normal(torch.tensor(0.0).double(), 1.0)
    for variant, normal in (("correct", q), ("published", slipped)):
        for direction, pair in (("qp", (normal, p)), ("pq", (p, normal))):
            want = torch.distributions.kl_divergence(*pair)
            kl = ops.moment_kl(codes, variant=variant, direction=direction)[0]
            torch.testing.assert_close(kl, want)
            kl = ops.moment_kl(codes, variant=variant, direction=direction, dims="sum")[0]
            torch.testing.assert_close(kl, 3 * want)


@pytest.mark.parametrize("rows", [64, 300])
def test_a_large_mean_costs_no_precision(rows):
    """The mean square minus the square of the mean has no digit left at mean / deviation = 10^4."""
    codes = 1e4 + torch.randn(rows, 40)
    _, mean, var = ops.moment_kl(codes)
    wide = codes.double()
    torch.testing.assert_close(mean.double(), wide.mean(0), rtol=2e-7, atol=0)
    torch.testing.assert_close(var.double(), wide.var(0, unbiased=False), rtol=1e-3, atol=0)


def test_an_outlier_in_the_first_row_costs_no_precision():
    codes = torch.randn(300, 5)
    codes[0] = 1e4
    _, mean, var = ops.moment_kl(codes)
    wide = codes.double()
    torch.testing.assert_close(mean.double(), wide.mean(0), rtol=1e-5, atol=0)
    torch.testing.assert_close(var.double(), wide.var(0, unbiased=False), rtol=1e-4, atol=0)


def test_collapse_is_infinite_and_seen():
    codes = torch.randn(1, 6).expand(8, 6)
    kl, _, var = ops.moment_kl(codes)
    assert kl == math.inf and torch.equal(var, torch.zeros(6))
    tiny = ops.moment_kl(1e-20 * with_moments(0.0, 1.0, 6).float())  # the variance is below normal numbers
    torch.testing.assert_close(tiny[0], torch.tensor(0.5 * (40 * math.log(10) - 1)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("variant", ["correct", "published"])
def test_nan_propagates(variant):
    codes = torch.randn(8, 6)
    codes[3, 2] = math.nan
    kl, mean, var = ops.moment_kl(codes.requires_grad_(), variant=variant)
    assert kl.isnan() and mean.isnan().tolist() == var.isnan().tolist() == [i == 2 for i in range(6)]
    grad = torch.autograd.grad(kl, codes)[0]
    assert grad[:, 2].isnan().all() and grad[:, 3].isfinite().all()


def test_moments_have_gradients():
    codes = torch.randn(8, 6, requires_grad=True)
    _, mean, var = ops.moment_kl(codes)
    torch.testing.assert_close(
        torch.autograd.grad(mean.sum(), codes, retain_graph=True)[0], torch.full((8, 6), 1 / 8)
    )
    want = torch.autograd.grad(codes.var(0, unbiased=False).sum(), codes)[0]
    torch.testing.assert_close(torch.autograd.grad(var.sum(), codes)[0], want)


def test_more_dimensions_are_latent():
    codes = torch.randn(5, 8, 1, 1)
    assert torch.equal(ops.moment_kl(codes)[0], ops.moment_kl(codes.flatten(1))[0])


BAD = [
    ({"codes": torch.randn(5)}, ValueError, r"codes must be \[B, Z\] \(or \[B, ...\]\), got \[5\]"),
    ({"codes": torch.ones(5, 3, dtype=torch.int32)}, ValueError, "codes must be float64, .* int32"),
    ({"codes": None}, TypeError, "codes must be a tensor, got None"),
    ({"variant": "paper"}, ValueError, "variant must be one of 'correct', 'published', got 'paper'"),
    ({"direction": "qq"}, ValueError, "direction must be one of 'qp', 'pq', got 'qq'"),
    ({"dims": "max"}, ValueError, "dims must be one of 'mean', 'sum', got 'max'"),
]


@pytest.mark.parametrize("change,error,message", BAD, ids=range(len(BAD)))
def test_bad_arguments_are_named(change, error, message):
    with pytest.raises(error, match=f"^moment_kl: {message}"):
        ops.moment_kl(**({"codes": torch.randn(5, 3)} | change))


def test_raw_operator_refuses_what_would_read_outside():
    if reason := ops.backends("moment_kl", "cpu")["native"]:
        pytest.skip(reason)
    x, moments = torch.randn(5, 3), torch.ones(3)
    with pytest.raises(RuntimeError, match="codes must be"):
        torch.ops.bigan.moment_kl(x[0], 0)
    with pytest.raises(RuntimeError, match="options must be"):
        torch.ops.bigan.moment_kl(x, 8)
    with pytest.raises(RuntimeError, match="var must have 3 elements"):
        torch.ops.bigan.moment_kl_backward(torch.ones(()), None, None, x, moments, moments[:2], 0)
