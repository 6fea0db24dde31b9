"""What is special to reparam_kl, gaussian_kl, philox_normal: closed forms, hinge, noise, errors."""

import math

import pytest
import torch

from bigan import ops
from bigan.ops import _philox

SEED = torch.tensor([11, 5])


def test_closed_forms():
    """KL(N(0, 1)) = 0; mu = 1 gives Z / 2 (spec section 10); sigma^2 = e gives (e - 2) / 2 a dimension."""
    zero, one = torch.zeros(3, 10), torch.ones(3, 10)
    assert torch.equal(ops.gaussian_kl(zero, zero), torch.zeros(3))
    assert torch.equal(ops.gaussian_kl(one, zero), torch.full((3,), 5.0))
    torch.testing.assert_close(ops.gaussian_kl(zero, one), torch.full((3,), 5 * (math.e - 2)))
    torch.testing.assert_close(
        ops.gaussian_kl(zero, one / 2, logstd=True), torch.full((3,), 5 * (math.e - 2))
    )
    torch.testing.assert_close(ops.gaussian_kl(zero, one, dims="mean"), torch.full((3,), 0.5 * (math.e - 2)))


def test_hinges_differ_where_samples_straddle_the_margin():
    mu = torch.tensor([[1.0] * 4, [3.0] * 4])  # KL 2 and 18
    zero = torch.zeros_like(mu)
    options = {"reduction": "mean", "margin": 8.0}
    assert ops.gaussian_kl(mu, zero, hinge="batch", **options) == 0.0  # mean 10 is past 8
    assert ops.gaussian_kl(mu, zero, hinge="sample", **options) == 3.0  # (6 + 0) / 2: never below (Jensen)
    assert ops.gaussian_kl(mu, zero, hinge="sample", margin=8.0).tolist() == [6.0, 0.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("options", [{}, {"margin": 3.0}, {"margin": 3.0, "hinge": "sample"}])
def test_nan_and_inf_propagate(value, options):
    mu = torch.zeros(4, 9)
    mu[2, 5] = value
    kl = ops.gaussian_kl(mu, torch.zeros_like(mu), reduction="mean", **options)
    want = torch.tensor(value)
    if (
        "margin" in options and value == math.inf
    ):  # relu(m - inf) = 0 for the batch; the other three are open for samples
        want = torch.tensor(0.0 if "hinge" not in options else 3 * 3.0 / 4)
    torch.testing.assert_close(kl, want, equal_nan=True)


def test_philox_known_answers():
    """The vectors of Salmon et al.'s Random123 distribution (kat_vectors, philox4x32 10)."""

    def words(*values):
        return tuple(torch.tensor(v) for v in values)

    known = [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]
    for counter, key, want in known:
        assert tuple(int(w) for w in _philox.philox4x32(words(*counter), words(*key))) == want


def test_noise_is_standard_normal():
    eps = ops.philox_normal(SEED, 2000, 500).double().flatten()
    n = eps.numel()
    assert abs(eps.mean()) < 4 / math.sqrt(n)
    assert abs(eps.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs(eps.pow(3).mean()) < 4 * math.sqrt(15 / n)
    assert abs(eps.pow(4).mean() - 3) < 4 * math.sqrt(96 / n)
    ordered = eps.sort().values  # Kolmogorov-Smirnov at 0.1 %
    cdf = torch.special.ndtr(ordered)
    steps = torch.arange(n, dtype=torch.float64)
    assert max((cdf - steps / n).max(), ((steps + 1) / n - cdf).max()) < 1.95 / math.sqrt(n)


def test_noise_does_not_depend_on_the_batch():
    whole = ops.philox_normal(SEED, 9, 21, stream=2)
    some = torch.tensor([7, 0, 7])
    assert torch.equal(ops.philox_normal(SEED, 3, 21, stream=2, sample_id=some), whole[some])
    assert torch.equal(ops.philox_normal(SEED, 4, 10, stream=2), whole[:4, :10])
    for other in ({"stream": 3}, {"rng": SEED + torch.tensor([0, 1])}, {"rng": SEED + torch.tensor([1, 0])}):
        rng = other.pop("rng", SEED)
        assert not torch.equal(ops.philox_normal(rng, 9, 21, **({"stream": 2} | other)), whole)


def test_drawn_noise_is_philox_normals():
    mu, logvar = torch.randn(5, 19), torch.randn(5, 19)
    ids = torch.tensor([4, 4, 2**33, 0, -1])
    z, _ = ops.reparam_kl(mu, logvar, rng=SEED, stream=9, sample_id=ids)
    eps = ops.philox_normal(SEED, 5, 19, stream=9, sample_id=ids)
    torch.testing.assert_close(z, mu + (0.5 * logvar).exp() * eps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["native", "triton", "reference"])
def test_strided_seeds_and_ids_give_the_same_noise(backend):
    if reason := ops.backends("philox_normal", "cpu")[backend]:
        pytest.skip(reason)
    seeds, ids = torch.tensor([[5, 1], [6, 2]]), torch.arange(12).view(6, 2)
    mu = torch.zeros(6, 8)
    with ops.use_backend(backend):
        for f in (
            lambda rng, ids: ops.philox_normal(rng, 6, 8, sample_id=ids),
            lambda rng, ids: ops.reparam_kl(mu, mu, rng=rng, sample_id=ids)[0],
        ):
            want = f(torch.tensor([5, 6]), ids[:, 1].contiguous())
            assert torch.equal(f(seeds[:, 0], ids[:, 1]), want)


def test_torchs_seed_governs_without_rng():
    mu, logvar = torch.randn(5, 19), torch.randn(5, 19)
    torch.manual_seed(1)
    a, b = ops.reparam_kl(mu, logvar)[0], ops.reparam_kl(mu, logvar)[0]
    torch.manual_seed(1)
    assert torch.equal(ops.reparam_kl(mu, logvar)[0], a) and not torch.equal(a, b)


def test_more_dimensions_are_latent():
    mu, logvar = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    z, kl = ops.reparam_kl(mu, logvar, rng=SEED)
    flat_z, flat_kl = ops.reparam_kl(mu.flatten(1), logvar.flatten(1), rng=SEED)
    assert torch.equal(z, flat_z.view(3, 2, 4, 4)) and torch.equal(kl, flat_kl)


def test_autocast_takes_two_types():
    mu, logvar = torch.randn(4, 6, dtype=torch.bfloat16), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        z, kl = ops.reparam_kl(mu, logvar, rng=SEED)
    assert z.dtype == torch.float32 and kl.dtype == torch.float32
    torch.testing.assert_close(kl, ops.gaussian_kl(mu.float(), logvar))


def _good():
    return {"mu": torch.randn(5, 37), "logvar": torch.randn(5, 37)}


BAD = [
    (
        {"logvar": torch.randn(5, 3)},
        ValueError,
        r"logvar must match mu \(\[5, 37\] float32 cpu\), got \[5, 3\]",
    ),
    ({"logvar": torch.randn(5, 37).double()}, ValueError, "logvar must match mu .* float64"),
    ({"logvar": torch.randn(1, 37)}, ValueError, "logvar must match mu"),  # nothing is broadcast
    ({"logvar": None}, TypeError, "logvar must be a tensor, got None"),
    (
        {"mu": torch.ones(5, 37, dtype=torch.int64)},
        ValueError,
        "mu must be float64, float32, float16 or bfloat16",
    ),
    ({"mu": torch.randn(5), "logvar": torch.randn(5)}, ValueError, r"mu must be \[B, Z\]"),
    ({"mu": [1.0, 2.0]}, TypeError, "mu must be a tensor"),
    ({"eps": torch.randn(5, 36)}, ValueError, r"eps must match mu .*got \[5, 36\]"),
    ({"eps": torch.randn(5, 37, requires_grad=True)}, ValueError, "eps must not require a gradient"),
    ({"eps": torch.randn(5, 37), "rng": SEED}, ValueError, "give eps or rng, not both"),
    ({"rng": torch.tensor([1.0, 2.0])}, ValueError, r"rng must be \(seed, step\): \[2\] int64 cpu"),
    ({"rng": torch.tensor([1])}, ValueError, "rng must be"),
    ({"rng": SEED, "stream": -1}, ValueError, r"stream must be an integer in \[0, 2\*\*32\), got -1"),
    (
        {"rng": SEED, "sample_id": torch.arange(4)},
        ValueError,
        r"sample_id must be one id a sample: \[5\] int64",
    ),
    ({"eps": torch.randn(5, 37), "sample_id": torch.arange(5)}, ValueError, "sample_id needs rng"),
    ({"dims": "max"}, ValueError, "dims must be one of 'sum', 'mean', got 'max'"),
    ({"reduction": "avg"}, ValueError, "reduction must be one of 'none', 'mean', 'sum', got 'avg'"),
    ({"margin": -1.0}, ValueError, "margin must be a finite number, 0 or more, got -1.0"),
    ({"margin": "1"}, ValueError, "margin must be a finite number"),
    ({"hinge": "row"}, ValueError, "hinge must be one of 'batch', 'sample', got 'row'"),
    ({"logstd": 1}, ValueError, r"logstd must be True or False, got 1 \(int\)"),
    ({"dims": ["sum"]}, ValueError, "dims must be one of 'sum', 'mean', got"),
    ({"rng": SEED, "stream": 1.5}, ValueError, "stream must be an integer"),
    ({"margin": math.nan}, ValueError, "margin must be a finite number"),
    (
        {"margin": 1.0, "hinge": "row", "reduction": "mean"},
        ValueError,
        "hinge must be one of 'batch', 'sample'",
    ),
    ({"margin": 1.0}, ValueError, "reduction must be 'mean' with hinge='batch'"),
]


@pytest.mark.parametrize("change,error,message", BAD, ids=range(len(BAD)))
def test_bad_arguments_are_named(change, error, message):
    with pytest.raises(error, match=f"^reparam_kl: .*{message}"):
        ops.reparam_kl(**(_good() | change))


@pytest.mark.parametrize(
    "change,message",
    [
        ({0: torch.randn(5)}, "mu must be"),
        ({1: torch.randn(5, 36)}, "logvar must match mu"),
        ({2: torch.randn(4, 37)}, "eps must match mu"),
        ({3: torch.arange(3)}, "rng must be"),
        ({4: torch.arange(6)}, "sample_id must be"),
        ({6: 3 << 2}, "options must be"),
    ],
)
def test_raw_operator_refuses_what_would_read_outside(change, message):
    if reason := ops.backends("reparam_kl", "cpu")["native"]:
        pytest.skip(reason)
    args = [*_good().values(), None, SEED, None, 0, 0, 0.0]
    for position, value in change.items():
        args[position] = value
    with pytest.raises(RuntimeError, match=message):
        torch.ops.bigan.reparam_kl(*args)
