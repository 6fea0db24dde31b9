"""augment_pair: against pad and slice, torchvision's formulas, its own draw, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F

from bigan import ops
from bigan.augment import Augment, PairAugment, ReflectPadCrop
from bigan.ops import Draw, augment_draw, augment_pair

RNG = torch.tensor([20, 7])
B, C, H, W, PAD = 6, 3, 9, 11, 4


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
def x(request):
    torch.manual_seed(0)
    return torch.randn(B, C, H, W).contiguous(memory_format=request.param)


def cropped(x, offset, mode):
    padded = F.pad(x, (PAD,) * 4, mode="constant" if mode == "zero" else mode)
    return torch.stack(
        [p[:, i : i + H, j : j + W] for p, (i, j) in zip(padded, offset.tolist(), strict=True)]
    )


def blurred(x, kernel_size, sigma):
    """torchvision.transforms.functional.gaussian_blur, per image."""
    half = (kernel_size - 1) * 0.5
    t = torch.linspace(-half, half, kernel_size, dtype=x.dtype)
    rows = []
    for image, s in zip(x, sigma.tolist(), strict=True):
        tap = torch.exp(-0.5 * (t / s).pow(2))
        tap = tap / tap.sum()
        kernel = torch.outer(tap, tap).expand(C, 1, -1, -1)
        padded = F.pad(image[None], (kernel_size // 2,) * 4, mode="reflect")
        rows.append(F.conv2d(padded, kernel, groups=C))
    return torch.cat(rows)


def contrasted(x, factor):
    """torchvision.transforms.functional.adjust_contrast of a float image, before it clamps."""
    r, g, b = x.unbind(1)
    mean = (0.2989 * r + 0.587 * g + 0.114 * b).mean((1, 2))[:, None, None, None]
    f = factor[:, None, None, None]
    return f * x + (1 - f) * mean


@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_crop_equals_pad_and_slice(x, mode):
    """Every corner, to the bit."""
    corners = [(i, j) for i in (0, PAD - 1, 2 * PAD) for j in (0, PAD + 2)]
    offset = torch.tensor(corners)
    y = augment_pair(x, pad=PAD, mode=mode, draw=Draw(offset))
    assert torch.equal(y, cropped(x, offset, mode))


def test_flip_equals_torch_flip(x):
    flip = torch.tensor([True, False] * 3)
    y = augment_pair(x, draw=Draw(flip=flip))
    assert torch.equal(y, torch.where(flip[:, None, None, None], x.flip(3), x))


@pytest.mark.parametrize("kernel_size", [3, 7, 15])
def test_blur_equals_torchvisions(x, kernel_size):
    sigma = torch.linspace(0.3, 3.0, B)
    y = augment_pair(x.double(), kernel_size=kernel_size, draw=Draw(sigma=sigma))
    torch.testing.assert_close(y, blurred(x.double(), kernel_size, sigma), rtol=1e-10, atol=1e-10)
    assert torch.equal(augment_pair(x, kernel_size=kernel_size, sigma=0.0), x)


def test_contrast_is_torchvisions(x):
    factor = torch.linspace(0, 2, B)
    y = augment_pair(x, contrast=1.0, draw=Draw(contrast=factor))
    torch.testing.assert_close(y, contrasted(x, factor))


def test_torchvision_itself(x):
    functional = pytest.importorskip(
        "torchvision.transforms.functional", reason="torchvision is not installed"
    )
    u = 0.4 + 0.2 * torch.rand(B, C, H, W)  # far from where it clamps
    y = augment_pair(u, kernel_size=5, sigma=1.3, contrast=1.2)
    want = functional.adjust_contrast(functional.gaussian_blur(u, [5, 5], [1.3, 1.3]), 1.2)
    torch.testing.assert_close(y, want, rtol=1e-5, atol=1e-5)


def test_everything_in_its_order(x):
    draw = augment_draw(RNG, B, pad=PAD, flip=0.5, sigma=(0.5, 1.5), contrast=(0.5, 1.5))
    y = augment_pair(
        x.double(), pad=PAD, flip=0.5, kernel_size=5, sigma=(0.5, 1.5), contrast=(0.5, 1.5), scale=2.0,
        shift=-1.0, rng=RNG,
    )  # fmt: skip
    want = cropped(x.double(), draw.offset, "reflect")
    want = torch.where(draw.flip[:, None, None, None], want.flip(3), want)
    want = contrasted(blurred(want, 5, draw.sigma), draw.contrast.double()) * 2 - 1
    torch.testing.assert_close(y, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_layouts_and_normalisation_of_bytes(dtype):
    u = torch.randint(0, 256, (B, C, H, W), dtype=torch.uint8)
    options = dict(pad=PAD, rng=RNG, scale=2 / 255, shift=-1.0, dtype=dtype)
    y = augment_pair(u, **options)
    plain = (u.double() * (2 / 255) - 1).to(dtype)
    assert y.dtype == dtype and y.shape == u.shape
    first, second = augment_pair(u, layout="apart", **options)
    torch.testing.assert_close(first, plain)
    assert torch.equal(second, y)
    for layout, dim in (("width", 3), ("channels", 1)):
        assert torch.equal(augment_pair(u, layout=layout, **options), torch.cat([first, y], dim))


def test_memory_format_is_kept(x):
    for layout in ("augmented", "width", "channels", "apart"):
        result = augment_pair(x.requires_grad_(), pad=2, layout=layout)
        for y in result if layout == "apart" else [result]:
            assert y.is_contiguous(memory_format=torch.channels_last) == (x.stride(1) == 1)
            assert y.is_contiguous() == (x.stride(1) != 1)


@pytest.mark.parametrize(
    "options", [{"mode": "reflect"}, {"mode": "zero"}, {"kernel_size": 5, "contrast": 0.4}]
)
def test_adjoint(options):
    """<A x, y> = <x, A^T y>."""
    x = torch.randn(B, C, H, W, dtype=torch.float64, requires_grad=True)
    out = augment_pair(x, pad=PAD, flip=0.5, layout="width", rng=RNG, **options)
    y = torch.randn_like(out)
    (adjoint,) = torch.autograd.grad(out, x, y)
    left, right = (out.detach() * y).sum(), (x.detach() * adjoint).sum()
    assert math.isclose(float(left), float(right), rel_tol=1e-11)


def test_replay_and_independence_of_the_batch(x):
    options = dict(pad=PAD, flip=0.5, kernel_size=3, contrast=(0.5, 1.5), rng=RNG, stream=3)
    ids = torch.tensor([100, 7, 7, 2**33 + 5, 0, 1])
    y = augment_pair(x, sample_id=ids, **options)
    assert torch.equal(augment_pair(x, sample_id=ids, **options), y)
    some = [4, 1]
    assert torch.equal(augment_pair(x[some], sample_id=ids[some], **options), y[some])
    assert not torch.equal(augment_pair(x, sample_id=ids, **options | {"stream": 4}), y)
    draw = augment_draw(
        RNG, B, pad=PAD, flip=0.5, contrast=(0.5, 1.5), stream=3, sample_id=ids
    )  # the same in numbers
    given = augment_pair(x, pad=PAD, kernel_size=3, contrast=(0.5, 1.5), draw=draw)
    torch.testing.assert_close(given, y, rtol=1e-6, atol=1e-6)


def test_draws_are_uniform():
    n, pad = 20000, 3
    draw = augment_draw(RNG, n, pad=pad, flip=0.25, sigma=(1.0, 3.0))
    places = (draw.offset[:, 0] * (2 * pad + 1) + draw.offset[:, 1]).bincount(minlength=49).double()
    expected = n / 49
    assert float(((places - expected) ** 2 / expected).sum()) < 85.4  # 48 degrees of freedom: p = 0.001 there
    assert abs(float(draw.flip.double().mean()) - 0.25) < 0.01
    assert (
        abs(float(draw.sigma.mean()) - 2) < 0.02
        and 1 <= float(draw.sigma.min()) <= float(draw.sigma.max()) < 3
    )


def test_a_nan_stays_where_it_is():
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 4, 4] = math.nan
    y = augment_pair(x, pad=2, mode="zero", draw=Draw(torch.tensor([[3, 2]])))
    assert y.isnan().nonzero().tolist() == [[0, 0, 3, 4]]


def test_torchs_seed_governs(x):
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append((augment_pair(x, pad=2), augment_pair(x, pad=2)))
    (a, b), (c, d) = results
    assert torch.equal(a, c) and torch.equal(b, d) and not torch.equal(a, b)


def test_modules(x):
    torch.manual_seed(0)
    pair = PairAugment(PAD, flip=0.5, scale=0.5)
    both = pair(x)
    assert torch.equal(both[..., :W], x * 0.5)
    assert torch.equal(pair.replay(2 * x), 2 * both)
    assert not torch.equal(pair(x), both)
    crop = ReflectPadCrop(PAD)
    assert torch.equal(crop(x), crop.replay(x))
    assert "pad=4" in repr(crop) and "layout='width'" in repr(pair)
    with pytest.raises(ValueError, match="replay needs an earlier call"):
        Augment().replay(x)
    with pytest.raises(ValueError, match="PairAugment: layout must be one of"):
        PairAugment(layout="augmented")
    with pytest.raises(ValueError, match="ReflectPadCrop: pad must be an integer"):
        ReflectPadCrop(-1)


@pytest.mark.parametrize(
    "options,message",
    [
        (
            {"pad": 9},
            r"augment_pair: pad must be smaller than the height and width of the images \(9 x 11\), got 9",
        ),
        ({"pad": -1}, "augment_pair: pad must be an integer, 0 or more, got -1"),
        ({"mode": "same"}, "augment_pair: mode must be one of 'reflect', 'zero', got 'same'"),
        ({"flip": 2}, r"augment_pair: flip must be a probability in \[0, 1\], got 2"),
        ({"kernel_size": 4}, "augment_pair: kernel_size must be an odd integer from 1 to 31, got 4"),
        ({"kernel_size": 19}, "augment_pair: kernel_size must be smaller than twice the height"),
        (
            {"sigma": -1.0},
            r"augment_pair: sigma must be a number or \(low, high\), from 0 to 10000, got -1.0",
        ),
        ({"contrast": (2, 1)}, "augment_pair: contrast must be a number or"),
        ({"layout": "image"}, "augment_pair: layout must be one of"),
        ({"dtype": torch.int32}, "augment_pair: dtype must be float64"),
        ({"pad": 1, "draw": Draw()}, "augment_pair: draw.offset must be given"),
        (
            {"pad": 1, "draw": Draw(torch.full((B, 2), 3))},
            r"augment_pair: draw.offset must lie in \[0, 2\], got values",
        ),
        (
            {"pad": 1, "draw": Draw(torch.zeros(2, 2).long())},
            r"draw.offset must be \[6, 2\] int64 cpu, got \[2, 2\]",
        ),
        ({"rng": RNG, "sample_id": torch.arange(3)}, "augment_pair: sample_id must be one id a sample"),
        ({"sample_id": torch.arange(6)}, "augment_pair: sample_id needs rng"),
        ({"rng": RNG, "draw": Draw()}, "augment_pair: give draw, or rng and sample_id, not both"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        augment_pair(torch.zeros(B, C, H, W), **options)


def test_bad_images():
    with pytest.raises(TypeError, match="augment_pair: x must be a tensor"):
        augment_pair([1])
    with pytest.raises(ValueError, match=r"augment_pair: x must be \[B, C, H, W\], got \[2, 3, 4\]"):
        augment_pair(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="augment_pair: x must be uint8, float64"):
        augment_pair(torch.zeros(1, 1, 2, 2, dtype=torch.int32))


def test_raw_operator_reads_nothing_outside():
    """Offsets out of range are clamped; what cannot be is refused."""
    x = torch.randn(2, 1, 4, 4)
    rest = (0, 1 << 5, 3, 1, 0, 0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0)
    call = torch.ops.bigan.augment_pair
    far = torch.tensor([[10**12, -(10**12)], [3, 3]])
    y, _ = call(x, None, None, far, None, None, None, None, *rest)
    assert torch.equal(y, augment_pair(x, pad=3, draw=Draw(torch.tensor([[6, 0], [3, 3]]))))
    if ops.backends("augment_pair", "cpu")["native"]:
        pytest.skip("the reference is plain PyTorch")
    for bad in (
        (x, None, None, far[:1], None, None, None, None, *rest),
        (x[0], None, None, far, None, None, None, None, *rest),
        (x, None, None, far, None, None, None, None, 0, 1 << 5, 4, *rest[3:]),
        (x, None, None, far, torch.zeros(1, dtype=torch.bool), None, None, None, *rest),
    ):
        with ops.use_backend("native"), pytest.raises(RuntimeError, match="augment_pair: "):
            call(*bad)
