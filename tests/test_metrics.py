"""Metrics on given features: known answers, other libraries where they are installed, and what they refuse."""

import math

import pytest
import torch

from bigan import metrics
from bigan.metrics import (
    MetricError,
    Moments,
    frechet_distance,
    inception_score,
    kernel_distance,
    modes,
    neighbours,
    path_length,
    pixel_errors,
    rid,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sets(n: int = 300, m: int = 260, d: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    mix = torch.randn(d, d) / d**0.5
    return torch.randn(n, d) @ mix + 1, 1.2 * torch.randn(m, d) @ mix + 1.1


# --- Frechet distance


def test_frechet_distance_of_gaussians_is_the_analytic_one():
    """Moments that commute: sum (m - m')^2 + (s - s')^2."""
    d = 30
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    s, s_ = torch.rand(2, d, dtype=torch.float64) + 0.1
    m, m_ = torch.randn(2, d, dtype=torch.float64)
    a, b = (Moments(9, mean, turn * std.square() @ turn.T) for mean, std in ((m, s), (m_, s_)))
    want = (m - m_).square().sum() + (s - s_).square().sum()
    assert frechet_distance(a, b) == pytest.approx(want.item(), rel=1e-10)


def test_frechet_distance_of_large_samples_approaches_it():
    a, b = torch.randn(40_000, 3), torch.randn(40_000, 3) * torch.tensor([2.0, 1.0, 1.0]) + 0.5
    assert frechet_distance(a, b) == pytest.approx(3 * 0.25 + 1, rel=0.03)


def test_frechet_distance_has_no_bottom_of_rounding_errors():
    """Singular covariances: the root of a product's eigenvalues would leave 1e-4 or more."""
    x = torch.randn(20, 200) * 100 + 1000
    scale = x.var(0).sum().item()
    assert frechet_distance(x, x) <= 1e-11 * scale
    assert frechet_distance(x, x + 3) == pytest.approx(9 * 200, rel=1e-6)


def test_moments_keep_their_digits_far_from_zero():
    x = torch.randn(5000, 4, dtype=torch.float64)
    a, b = Moments.of(x), Moments.of(x + 1e6)
    torch.testing.assert_close(a.cov, b.cov, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(a.cov, torch.cov(x.T), rtol=1e-12, atol=1e-12)


# --- kernel distance


def kernel_by_definition(x, y):
    k = [(a.double() @ b.double().T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
    n, m = len(x), len(y)
    own = [(t.sum() - t.trace()) / (k_ * (k_ - 1)) for t, k_ in ((k[0], n), (k[1], m))]
    return (own[0] + own[1] - 2 * k[2].mean()).item()


@pytest.mark.parametrize("chunk", [7, 100, 4096])
def test_kernel_distance_in_any_chunks(chunk):
    x, y = sets(90, 70)
    assert kernel_distance(x, y, chunk).value == pytest.approx(kernel_by_definition(x, y), rel=1e-10)


def test_kernel_distance_has_the_jackknife_standard_error():
    x, y = sets(12, 9, 3)
    keep = [torch.arange(n) != i for n in (12, 9) for i in range(n)]
    left = (
        [kernel_by_definition(x[k], y) for k in keep[:12]],
        [kernel_by_definition(x, y[k]) for k in keep[12:]],
    )
    want = sum((len(t) - 1) * torch.tensor(t, dtype=torch.float64).var(correction=0) for t in left)
    assert kernel_distance(x, y).spread == pytest.approx(want.sqrt().item(), rel=1e-8)


def test_kernel_distance_is_unbiased_and_its_error_true():
    """Over sets of one distribution: mean 0; and the spread over sets is what is reported."""
    d = 4
    found = [kernel_distance(torch.randn(60, d), torch.randn(60, d) + 0.5) for _ in range(300)]
    values = torch.tensor([f.value for f in found])
    truth = kernel_distance(torch.randn(6000, d), torch.randn(6000, d) + 0.5)
    assert abs(values.mean() - truth.value) < 4 * values.std() / 300**0.5 + 2 * truth.spread
    reported = torch.tensor([f.spread for f in found]).square().mean().sqrt()
    assert reported / values.std() == pytest.approx(1.0, abs=0.2)


# --- class distributions


def test_inception_score_from_one_to_the_number_of_classes():
    alike = torch.randn(1, 7).expand(50, 7)
    assert inception_score(alike, 5).value == pytest.approx(1)
    sure = 100 * torch.eye(10).repeat(20, 1)
    assert inception_score(sure, 4).value == pytest.approx(10)
    assert inception_score(sure, 4).spread == pytest.approx(0, abs=1e-9)


def test_rid_of_known_distributions():
    p, q = torch.tensor([0.7, 0.3]), torch.tensor([0.4, 0.6])
    kl = 0.7 * math.log(0.7 / 0.4) + 0.3 * math.log(0.3 / 0.6)
    found = rid(p.log().expand(40, 2) + 5, q.log().expand(40, 2), 10)  # logits are up to a constant
    assert (found.value, found.spread) == (pytest.approx(math.exp(kl)), pytest.approx(0, abs=1e-12))
    assert rid(q.log().expand(40, 2), p.log().expand(40, 2)).value != pytest.approx(
        math.exp(kl)
    )  # original first


def test_rid_is_the_mean_over_consecutive_parts():
    a, b = torch.randn(35, 5), torch.randn(35, 5)
    parts = [rid(x, y, 1).value for x, y in zip(a.split(7), b.split(7), strict=True)]
    found = rid(a, b, 5)
    assert found.value == pytest.approx(sum(parts) / 5)
    assert found.spread == pytest.approx(torch.tensor(parts).double().std(correction=0).item())
    assert found.value > rid(a, b, 1).value  # exp is convex
    assert rid(a, a).value == 1


# --- neighbours


def by_definition(x, y, k, k_density):
    d_xx, d_yy, d_yx = torch.cdist(x, x), torch.cdist(y, y), torch.cdist(y, x)
    r_x, r_y = (d.kthvalue(k + 1, 1).values for d in (d_xx, d_yy))
    r = d_xx.kthvalue(k_density + 1, 1).values
    inside = (d_yx <= r_x).any(1).double().mean(), (d_yx <= r_y[:, None]).any(0).double().mean()
    return *inside, (d_yx <= r).sum() / (k_density * len(y)), (d_yx <= r).any(0).double().mean()


@pytest.mark.parametrize("block", [64, 2**24])
def test_neighbours_in_any_blocks(block):
    x, y = (t.double() for t in sets(120, 90, 5))
    want = [float(v) for v in by_definition(x, y, 3, 5)]
    assert min(want) > 0.1 and min(want[0], want[1]) < 0.95
    assert list(neighbours(x, y, block=block)) == pytest.approx(want)


def test_neighbours_of_the_same_far_and_collapsed_sets():
    x = torch.randn(100, 6) + 1000
    same = neighbours(x, x)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert neighbours(x, x + 1000) == (0, 0, 0, 0)
    one = x[:1].expand(100, 6)  # one image, again and again
    found = neighbours(x, one)
    assert found.precision == 1 and found.recall < 0.1 and found.coverage < 0.2
    assert neighbours(one, one).precision == 1  # in balls of radius 0


# --- pixels, modes, walks


def test_pixel_errors_are_the_papers():
    x = torch.rand(6, 3, 4, 4)
    d = torch.randn(6, 3, 4, 4).mul(0.01).clamp(-0.05, 0.05)
    x = x.clamp(0.05, 0.95)
    found = pixel_errors(x, x + d, chunk=4)
    assert found.rmse == pytest.approx(d.flatten(1).norm(dim=1).mean().item(), rel=1e-5)
    assert found.mse == pytest.approx(d.square().mean().item(), rel=1e-5)
    assert found.rms == pytest.approx(found.mse**0.5)
    assert found.l1 == pytest.approx(d.abs().mean().item(), rel=1e-5)
    black, white = (
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
        torch.full((2, 3, 32, 32), 255, dtype=torch.uint8),
    )
    assert pixel_errors(black, white).rmse == pytest.approx(3072**0.5)
    assert pixel_errors(white, white) == (0, 0, 0, 0)


def test_modes_of_the_grid():
    means = metrics.modes.__globals__["GRID"]
    assert len(means) == 25
    assert modes(means + 0.05) == (25, 1.0, 25)
    assert modes(means[:4].repeat(5, 1)) == (4, 1.0, 4)
    scattered = torch.rand(20_000, 2) * 10 - 5  # covers all, but lies nowhere
    found = modes(scattered)
    assert found.covered == 25 and found.near < 0.03


def test_path_length_of_a_line():
    a = torch.randn(50, 8)
    step = torch.zeros(8)
    step[0] = 0.1 * 3  # features move 3 a unit
    found = path_length(a, a + step, 0.1)
    assert (found.value, found.spread) == (pytest.approx(9, rel=1e-5), pytest.approx(0, abs=1e-4))


# --- what is refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: frechet_distance(torch.randn(1, 3), torch.randn(9, 3)), "2 images or more, got 1"),
        (lambda: frechet_distance(torch.randn(9, 3), torch.randn(9, 4)), "as many features, got 3 and 4"),
        (
            lambda: frechet_distance(torch.full((9, 3), torch.nan), torch.randn(9, 3)),
            "NaN or infinity in 9 of 9",
        ),
        (lambda: frechet_distance(torch.randint(9, (9, 3)), torch.randn(9, 3)), r"floating point .* int64"),
        (lambda: frechet_distance([[1.0]], torch.randn(9, 3)), "must be a tensor"),
        (lambda: kernel_distance(torch.randn(2, 3), torch.randn(9, 3)), "real must be 3 images or more"),
        (lambda: kernel_distance(torch.randn(9, 3), torch.randn(9, 3, 1)), r"fake .*\[9, 3, 1\]"),
        (lambda: inception_score(torch.randn(9, 1), 3), "two classes or more"),
        (lambda: inception_score(torch.randn(9, 4), 10), "10 images or more, got 9"),
        (lambda: inception_score(torch.randn(9, 4), 0), "splits must be 1 or more"),
        (lambda: rid(torch.randn(9, 1), torch.randn(9, 1), 3), "two classes or more"),
        (
            lambda: rid(torch.randn(9, 4), torch.randn(8, 4), 3),
            r"rec must match real, got \[8, 4\] for \[9, 4\]",
        ),
        (lambda: rid(torch.randn(9, 4), torch.randn(9, 4)), "10 images or more, got 9"),
        (lambda: neighbours(torch.randn(5, 4), torch.randn(50, 4)), "real must be 6 images or more, got 5"),
        (lambda: neighbours(torch.randn(9, 4), torch.randn(3, 4)), "fake must be 4 images or more, got 3"),
        (lambda: neighbours(torch.randn(9, 4), torch.randn(9, 4), k=0), "k must be 1 or more"),
        (lambda: pixel_errors(torch.rand(2, 3, 4, 4), torch.rand(3, 3, 4, 4)), "rec must match real"),
        (
            lambda: pixel_errors(torch.rand(2, 3, 4, 4) + 1, torch.rand(2, 3, 4, 4)),
            r"real must be in \[0, 1\]",
        ),
        (
            lambda: pixel_errors(torch.rand(2, 3, 4, 4), torch.full((2, 3, 4, 4), torch.nan)),
            "rec must be finite",
        ),
        (lambda: modes(torch.randn(4, 3)), "as many dimensions"),
        (lambda: path_length(torch.randn(4, 3), torch.randn(4, 3), 0.0), "step must be positive"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert isinstance(error.value, MetricError)  # which the command line prints alone
