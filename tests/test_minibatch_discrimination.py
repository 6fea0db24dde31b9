"""What is special to minibatch_discrimination: the sum itself, its limits, memory, IAN's layer, errors."""

import math
import re
from pathlib import Path

import pytest
import torch

from bigan import nets, ops


def brute_force(a):
    """Salimans et al. 2016, section 3.2, one pair at a time."""
    f = torch.zeros(a.shape[:2], dtype=a.dtype)
    for i in range(len(a)):
        for j in range(len(a)):
            if i != j:
                f[i] += torch.exp(-(a[i] - a[j]).abs().sum(1))
    return f


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("shape", [(7, 3, 5), (40, 33, 5), (9, 18, 11), (1, 500, 5)])
def test_is_the_sum_over_pairs(shape, backend):
    if reason := ops.backends("minibatch_discrimination", "cpu")[backend]:
        pytest.skip(reason)
    a, up = 0.3 * torch.randn(shape, dtype=torch.float64), torch.randn(shape[:2], dtype=torch.float64)
    with ops.use_backend(backend):
        leaf = a.clone().requires_grad_()
        f = ops.minibatch_discrimination(leaf)
        (grad,) = torch.autograd.grad(f, leaf, up)
    pairs = a.clone().requires_grad_()
    torch.testing.assert_close(f, brute_force(pairs))
    want = torch.autograd.grad(brute_force(pairs), pairs, up)[0] if len(a) > 1 else torch.zeros(shape)
    torch.testing.assert_close(grad, want.double())


def test_limits():
    """0 alone or far from all others; B - 1 among equals, which do not move each other."""
    assert torch.equal(ops.minibatch_discrimination(torch.randn(1, 6, 5)), torch.zeros(1, 6))
    same = torch.randn(1, 20, 5).repeat(9, 1, 1).requires_grad_()
    f = ops.minibatch_discrimination(same)
    assert torch.equal(f, torch.full((9, 20), 8.0))
    assert torch.equal(torch.autograd.grad(f.sum(), same)[0], torch.zeros(9, 20, 5))
    far = 1e3 * torch.arange(4.0)[:, None, None].expand(4, 3, 5)
    assert torch.equal(ops.minibatch_discrimination(far), torch.zeros(4, 3))
    assert torch.equal(ops.minibatch_discrimination(torch.empty(3, 2, 0)), torch.full((3, 2), 2.0))


def test_two_samples_by_hand():
    a = torch.zeros(2, 1, 5, dtype=torch.float64)
    a[1, 0, :2] = torch.tensor([math.log(2), -math.log(3)])  # exp(-distance) = 1 / 6
    a.requires_grad_()
    f = ops.minibatch_discrimination(a)
    torch.testing.assert_close(f, torch.full((2, 1), 1 / 6, dtype=torch.float64))
    (grad,) = torch.autograd.grad(f, a, torch.tensor([[1.0], [2.0]], dtype=torch.float64))
    want = torch.tensor([0.5, -0.5, 0, 0, 0], dtype=torch.float64)  # (1 + 2) / 6
    torch.testing.assert_close(grad[:, 0], torch.stack([want, -want]))


def test_the_order_of_samples_does_not_matter():
    a = 0.2 * torch.randn(23, 7, 5, dtype=torch.float64)
    order = torch.randperm(23)
    f = ops.minibatch_discrimination(a)
    torch.testing.assert_close(ops.minibatch_discrimination(a[order]), f[order])


def test_nan_stays_in_its_kernel():
    a = 0.2 * torch.randn(6, 20, 5)
    a[2, 7, 3] = math.nan
    a.requires_grad_()
    f = ops.minibatch_discrimination(a)
    (grad,) = torch.autograd.grad(f.sum(), a)
    kernels = torch.arange(20) == 7
    assert torch.equal(f.isnan(), kernels.expand(6, 20))
    assert grad.isnan()[2, 7].all() and grad.isnan()[:, 7, 3].all() and not grad.isnan()[:, ~kernels].any()


def test_infinitely_far():
    a = torch.zeros(3, 1, 5)
    a[2, 0, 0] = math.inf
    assert ops.minibatch_discrimination(a)[:, 0].tolist() == [1, 1, 0]


def peak() -> int:
    """The most memory this process has had, in bytes, since it was last asked."""
    text = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", text)[1])


def test_memory_is_that_of_the_results():
    """IAN_simple's size, whose differences are 164 MB: everything else together stays below 4 MB."""
    if reason := ops.backends("minibatch_discrimination", "cpu")["native"]:
        pytest.skip(reason)
    try:
        peak()
    except OSError as error:
        pytest.skip(f"this system does not tell: {error}")
    a = (0.2 * torch.randn(128, 500, 5)).requires_grad_()
    up = torch.randn(128, 500)
    for rows in (2, 128):  # threads and libraries are there after the first
        peak()
        before = peak()
        f = ops.minibatch_discrimination(a[:rows])
        f.backward(up[:rows])
        used = peak() - before
    assert used < 4 * 2**20 + (f.nbytes + 2 * a.nbytes)  # the gradient, and its padding by the slice


@pytest.mark.parametrize("layout", ["rows", "kernels", "elements"])
def test_views_are_read_where_they_stand(layout):
    a = 0.3 * torch.randn(6, 9, 5)
    view = {
        "rows": torch.cat([a, a], 1)[:, 9:],
        "kernels": torch.stack([a, a], 2)[:, :, 1],
        "elements": a.permute(2, 0, 1).contiguous().permute(1, 2, 0),
    }[layout]
    assert not view.is_contiguous()
    assert torch.equal(ops.minibatch_discrimination(view), ops.minibatch_discrimination(a))
    expanded = a[:1].expand(4, 9, 5)  # stride 0
    assert torch.equal(ops.minibatch_discrimination(expanded), torch.full((4, 9), 3.0))


# ---- the layer ----


def test_ians_layer_starts_as_the_authors_have_it():
    """Spec section 1: theta ~ N(0, 0.05), log-scale 0, bias -1; 2.56 M parameters for 1024 inputs."""
    layer = nets.MinibatchDiscrimination(1024)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {"theta": (1024, 500, 5), "log_scale": (500, 5), "bias": (500,)}
    assert sum(p.numel() for p in layer.parameters()) == 2_563_000
    assert abs(layer.theta.mean()) < 1e-4 and abs(layer.theta.std() - 0.05) < 1e-4
    assert not layer.log_scale.any() and torch.equal(layer.bias, torch.full((500,), -1.0))


def test_ians_layer():
    layer = nets.MinibatchDiscrimination(12, kernels=7, dims=3).double()
    with torch.no_grad():
        layer.log_scale.normal_(std=0.3)
        layer.bias.normal_()
    x = torch.randn(5, 12, dtype=torch.float64)
    y = layer(x)
    norm = layer.theta.square().sum(0).sqrt()
    weight = layer.theta * layer.log_scale.exp() / norm  # [N, K, D]
    f = brute_force(torch.einsum("bn,nkd->bkd", x, weight)) + layer.bias
    torch.testing.assert_close(y, torch.cat([x, f], 1))
    wanted = torch.autograd.grad(f.square().sum(), tuple(layer.parameters()))
    found = torch.autograd.grad(y[:, 12:].square().sum(), tuple(layer.parameters()))
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want)


def test_the_layer_names_a_wrong_input():
    layer = nets.MinibatchDiscrimination(12, 7)
    assert "12, kernels=7, dims=5" in repr(layer)
    with pytest.raises(
        ValueError, match=r"^MinibatchDiscrimination: x must be \[B, 12\], got \[5, 11\] float32 cpu"
    ):
        layer(torch.randn(5, 11))


# ---- errors ----

BAD = [
    (torch.randn(4, 5), ValueError, r"activations must be \[B, K, D\], got \[4, 5\] float32 cpu"),
    (torch.randn(4, 5, 1, 1), ValueError, r"activations must be \[B, K, D\]"),
    (torch.ones(4, 5, 2, dtype=torch.int32), ValueError, "activations must be float64, float32, float16 or"),
    ([[1.0]], TypeError, r"activations must be a tensor, got \[\[1.0\]\]"),
]


@pytest.mark.parametrize("value,error,message", BAD, ids=range(len(BAD)))
def test_bad_arguments_are_named(value, error, message):
    with pytest.raises(error, match=f"^minibatch_discrimination: {message}"):
        ops.minibatch_discrimination(value)


def test_raw_operator_refuses_what_would_read_outside():
    if reason := ops.backends("minibatch_discrimination", "cpu")["native"]:
        pytest.skip(reason)
    a = torch.randn(4, 6, 5)
    with pytest.raises(RuntimeError, match=r"activations must be \[B, K, D\], got \[4, 30\]"):
        torch.ops.bigan.minibatch_discrimination(a.flatten(1))
    for grad in (torch.ones(4, 5), torch.ones(3, 6), torch.ones(4, 6, 1), torch.ones(4, 6).double()):
        with pytest.raises(RuntimeError, match=r"grad must be \[4, 6\] of the type of activations"):
            torch.ops.bigan.minibatch_discrimination_backward(grad, a)
