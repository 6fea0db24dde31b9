"""Convolutions by Winograd's products and by one matrix product against PyTorch's, values and gradients."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d

from bigan.engine import quickconv, smallconv, winograd

needs_library = pytest.mark.skipif(
    not winograd.available(), reason="the transforms are in the native library"
)


def gradients(apply, tensors, cotangent):
    tensors = [t if t is None else t.detach().requires_grad_() for t in tensors]
    out = apply(*tensors)
    return out, torch.autograd.grad(out, [t for t in tensors if t is not None], cotangent)


def both(kind, kernel, sizes, dtype, bias=True, layout=torch.channels_last):
    """(ours, torch's, inputs, a cotangent) of a convolution, or of the transposed one with the same weight."""
    batch, inputs, outputs, height, width = sizes
    s = winograd.STRIDE[kernel]
    weight = torch.randn(outputs, inputs, kernel, kernel, dtype=dtype).contiguous(memory_format=layout)
    wide, small = (batch, inputs, s * height, s * width), (batch, outputs, height, width)
    if kind == "conv":
        ours, theirs, shapes = winograd.conv2d, conv2d, (wide, small)
    else:
        ours, theirs, shapes = winograd.conv_transpose2d, conv_transpose2d, (small, wide)
    x = torch.randn(shapes[0], dtype=dtype).contiguous(memory_format=layout)
    shift = torch.randn(shapes[1][1], dtype=dtype) if bias else None
    plain = lambda x, w, b: theirs(x, w, b, stride=s, padding=1)  # noqa: E731
    return ours, plain, (x, weight, shift), torch.randn(shapes[1], dtype=dtype)


SIZES = [  # batch, inputs, outputs, height and width of the map that the tiles are of
    (3, 16, 32, 4, 8), (2, 5, 7, 6, 5), (65, 17, 33, 4, 4), (1, 1, 1, 1, 1), (2, 40, 3, 9, 2), (1, 150, 140, 4, 3),
]  # fmt: skip


@needs_library
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kernel", winograd.STRIDE)
@pytest.mark.parametrize("kind", ["conv", "transposed"])
def test_winograd_is_the_convolution(kind, kernel, sizes, monkeypatch):
    for large, bias in ((2**22, True), (5000, False)):  # in one block of weights, and in several
        monkeypatch.setattr(winograd, "LARGE", large)
        ours, plain, tensors, cotangent = both(kind, kernel, sizes, torch.double, bias)
        got, want = gradients(ours, tensors, cotangent), gradients(plain, tensors, cotangent)
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-10)
        assert got[0].is_contiguous(memory_format=torch.channels_last)


@needs_library
@pytest.mark.parametrize("kernel", winograd.STRIDE)
@pytest.mark.parametrize("kind", ["conv", "transposed"])
def test_winograd_rounds_little_more(kind, kernel):
    """float32 against float64: within ten times a direct convolution's error."""
    ours, plain, tensors, cotangent = both(kind, kernel, (8, 128, 96, 8, 8), torch.float32)
    exact = gradients(plain, [t.double() for t in tensors], cotangent.double())
    for a, b, c in zip(*(_flat(gradients(f, tensors, cotangent)) for f in (ours, plain)), _flat(exact)):  # noqa: B905
        error, usual = ((t - c).norm() / c.norm() for t in (a, b))
        assert error < max(10 * usual, 1e-6)


def _flat(result):
    out, grads = result
    return [out.detach().double(), *(g.double() for g in grads)]


@needs_library
@pytest.mark.parametrize("kind", ["conv", "transposed"])
def test_winograd_takes_any_layout_and_wanted_gradients(kind):
    """NCHW tensors, an expanded cotangent; gradients of some inputs alone; no batch statistic of the threads."""
    ours, plain, (x, weight, bias), cotangent = both(
        kind, 3, (4, 20, 24, 5, 6), torch.double, layout=torch.contiguous_format
    )
    some = torch.randn(()).double().expand(cotangent.shape)
    torch.testing.assert_close(
        gradients(ours, (x, weight, bias), some), gradients(plain, (x, weight, bias), some)
    )
    for wanted in itertools.product([False, True], repeat=3):
        tensors = [t.clone().requires_grad_(w) for t, w in zip((x, weight, bias), wanted, strict=True)]
        out, want = ours(*tensors), plain(*tensors)
        if any(wanted):
            leaves = [t for t in tensors if t.requires_grad]
            torch.testing.assert_close(
                torch.autograd.grad(out, leaves, cotangent), torch.autograd.grad(want, leaves, cotangent)
            )


@needs_library
def test_winograd_has_the_same_bits_with_any_threads():
    ours, _, tensors, cotangent = both("conv", 4, (9, 32, 48, 4, 8), torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            v = torch.empty(25, 18, 128)
            winograd.data(tensors[0], v, 4)
            back = torch.empty_like(tensors[0])
            winograd.data_adjoint(v, None, back, 4)
            found.append((v, back))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert torch.equal(*(gradients(ours, tensors, cotangent)[1][1] for _ in range(2)))


@needs_library
def test_winograd_propagates_nan():
    ours, _, (x, weight, bias), _ = both("conv", 3, (2, 16, 16, 8, 8), torch.float32)
    x[1, 3, 2, 2] = torch.nan
    out = ours(x, weight, bias)
    assert out[0].isfinite().all() and out[1, :, 1:4, 1:4].isnan().all()


@needs_library
def test_winograd_is_not_differentiable_twice():
    ours, _, tensors, _ = both("conv", 3, (2, 16, 16, 4, 4), torch.double)
    x = tensors[0].requires_grad_()
    (grad,) = torch.autograd.grad(ours(x, *tensors[1:]).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@needs_library
def test_raw_operators_check_what_they_would_write_to():
    x, tiles = torch.randn(2, 8, 8, 8).to(memory_format=torch.channels_last), torch.empty(36, 8, 8)
    for bad in (
        lambda: winograd.data(x, tiles[:, :7], 3),
        lambda: winograd.data(x, tiles.double(), 3),
        lambda: winograd.data(x, tiles, 5),
        lambda: winograd.data(x, tiles, 4),
        lambda: winograd.data(x.contiguous(), tiles, 3),
        lambda: winograd.data(x[0], tiles, 3),
        lambda: winograd.data(x.half(), tiles.half(), 3),
        lambda: winograd.data(x[:, :, 1:], torch.empty(25, 8, 32), 4),
        lambda: winograd.inverse(tiles, torch.zeros(7), x, 3),
        lambda: winograd.data_adjoint(tiles.mT, None, x, 3),
    ):
        with pytest.raises(RuntimeError, match="winograd_"):
            bad()


# --- the choice


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "shape",  # inputs, outputs, kernel, stride, padding, side
    [
        (128, 5, 3, 1, 1, 4),
        (60, 6, 4, 2, 1, 8),
        (40, 5, 4, 1, 0, 4),
        (64, 3, 3, 2, 0, 7),
        (33, 4, 4, 2, 2, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["conv", "transposed"])
def test_small_convolutions(kind, shape, layout, bias, monkeypatch):
    monkeypatch.setattr(smallconv, "WORTH", ((64, 1),))
    monkeypatch.setattr(winograd, "worth", lambda *_: False)
    inputs, outputs, kernel, stride, padding, side = shape
    if kind == "conv":
        net, plain, way = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias), conv2d, "conv2d"
    else:  # as many numbers in a patch of its output
        net = nn.ConvTranspose2d(outputs, inputs, kernel, stride, padding, bias=bias)
        plain, way, side = conv_transpose2d, "conv_transpose2d", min(side, 4)
    check_choice(net.double().to(memory_format=layout), plain, side, smallconv, way, monkeypatch)


@needs_library
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel, stride", winograd.STRIDE.items())
@pytest.mark.parametrize("kind", ["conv", "transposed"])
def test_convolutions_of_many_channels(kind, kernel, stride, bias, monkeypatch):
    kinds = {"conv": (nn.Conv2d, conv2d, "conv2d"),
             "transposed": (nn.ConvTranspose2d, conv_transpose2d, "conv_transpose2d")}  # fmt: skip
    make, plain, way = kinds[kind]
    net = make(96, 64, kernel, stride, 1, bias=bias).double().to(memory_format=torch.channels_last)
    check_choice(net, plain, 16, winograd, way, monkeypatch, batch=24)


def check_choice(net, plain, side, module, way, monkeypatch, batch=3):
    """`net` takes `module`'s way, with `plain`'s values and gradients and the names of before."""
    keys = list(net.state_dict())
    x = torch.randn(batch, net.in_channels, side, side, dtype=torch.double).requires_grad_()
    want = plain(x, net.weight, net.bias, net.stride, net.padding)
    cotangent = torch.randn_like(want)
    grads = torch.autograd.grad(want, [x, *net.parameters()], cotangent)
    assert quickconv.use_quick_convs(net) == 1 and list(net.state_dict()) == keys
    calls, real = [], getattr(module, way)
    monkeypatch.setattr(module, way, lambda *a: (calls.append(1), real(*a))[1])
    torch.testing.assert_close(copy.deepcopy(net)(x), want)
    got = net(x)
    assert len(calls) == 2
    torch.testing.assert_close(torch.autograd.grad(got, [x, *net.parameters()], cotangent), grads)


def test_others_are_left_alone():
    odd = [nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, dilation=2), nn.Conv2d(8, 8, (3, 1)), nn.Conv2d(8, 8, 1),
           nn.Conv2d(8, 8, 3, padding="same"), nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
           nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1)]  # fmt: skip
    assert quickconv.use_quick_convs(nn.Sequential(*odd)) == 0
    net, x = nn.Conv2d(64, 4, 3, padding=1), torch.randn(2, 64, 16, 16)
    want = net(x)
    quickconv.use_quick_convs(net)
    assert torch.equal(net(x), want)
    assert net(x[:0]).shape == (0, 4, 16, 16)
    wide = nn.Conv2d(128, 128, 3, padding=1)
    x = torch.randn(8, 128, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        want = wide(x)
        quickconv.use_quick_convs(wide)
        assert torch.equal(wide(x), want)
    assert wide(x[0]).shape == (128, 8, 8)
    for bad in (x[:, 1:], x.double()):
        with pytest.raises(RuntimeError, match=r"expected|type"):
            wide(bad)
