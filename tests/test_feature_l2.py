"""What is special to feature_l2: lists of any shapes and types, layouts, one gradient, many pairs, errors."""

import math

import pytest
import torch
import torch.nn.functional as F

from bigan import ops
from bigan.losses import FeatureLoss

SHAPES = [(4, 3, 8, 8), (5, 37), (2, 3000), (7,)]


def pairs(*shapes, dtype=torch.float32):
    return [[torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes] for _ in range(2)]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("distance,eager", [("l2", F.mse_loss), ("l1", F.l1_loss)])
def test_is_the_weighted_sum_of_torchs_losses(distance, eager, reduction):
    a, b = pairs(*SHAPES)
    weights = [0.5, 2.0, 1.0, 3]
    total, values = ops.feature_l2(a, b, weights, distance=distance, reduction=reduction)
    want = torch.stack([eager(x, y, reduction=reduction) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(values, want)
    torch.testing.assert_close(total, (want * torch.tensor(weights)).sum())
    got = torch.autograd.grad(total, a + b)
    for grad, exp in zip(got, torch.autograd.grad((want * torch.tensor(weights)).sum(), a + b), strict=True):
        torch.testing.assert_close(grad, exp)


def test_introvaes_pixel_loss():
    """Sum over pixels, mean over the batch."""
    x, y = torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8)
    want = (x - y).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(ops.feature_l2(x, y, reduction="batchmean")[0], want)


def test_a_tensor_is_a_list_of_one():
    x, y = torch.rand(2, 4, 9), torch.rand(2, 4, 9)
    for one, many in zip(ops.feature_l2(x, y, 3), ops.feature_l2([x], (y,), [3.0]), strict=True):
        assert torch.equal(one, many)


@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
def test_types_may_differ_between_pairs(wide):
    """Each pair's gradient has its type; what is returned, the widest."""
    types = [torch.bfloat16, wide, torch.float16]
    a, b = ([torch.randn(6, 20).to(t).requires_grad_() for t in types] for _ in range(2))
    total, values = ops.feature_l2(a, b)
    want = torch.stack([(x.double() - y.double()).square().mean() for x, y in zip(a, b, strict=True)])
    assert total.dtype == values.dtype == wide
    torch.testing.assert_close(values.double(), want, rtol=1e-6, atol=0)
    grads = torch.autograd.grad(total, a + b)
    for grad, exp in zip(grads, torch.autograd.grad(want.sum(), a + b), strict=True):
        torch.testing.assert_close(grad, exp)


@pytest.mark.parametrize("asked", ["a", "b", "one of each"])
def test_only_the_gradients_that_are_asked_for(asked):
    a, b = pairs((3, 5), (4, 7))
    all_four = torch.autograd.grad(ops.feature_l2(a, b)[0], a + b)
    keep = {"a": (0, 1), "b": (2, 3), "one of each": (1, 2)}[asked]
    tensors = [t if k in keep else t.detach() for k, t in enumerate(a + b)]
    found = torch.autograd.grad(ops.feature_l2(tensors[:2], tensors[2:])[0], [tensors[k] for k in keep])
    for grad, k in zip(found, keep, strict=True):
        assert torch.equal(grad, all_four[k])


def test_values_are_differentiable_too():
    a, b = pairs((3, 5), (4, 7))
    total, values = ops.feature_l2(a, b, [2.0, 5.0])
    for got, want in (
        (values[1], F.mse_loss(a[1], b[1])),
        (total + values[0], 3 * F.mse_loss(a[0], b[0]) + 5 * F.mse_loss(a[1], b[1])),
    ):
        found = torch.autograd.grad(got, a, retain_graph=True, allow_unused=True, materialize_grads=True)
        exp = torch.autograd.grad(want, a, allow_unused=True, materialize_grads=True)
        for x, y in zip(found, exp, strict=True):
            torch.testing.assert_close(x, y)


@pytest.mark.parametrize("format", [torch.channels_last, "transposed"])
def test_equal_layouts_are_read_in_place(format):
    """Without a copy, and the gradient is laid out like its input."""

    def laid_out(t):
        return t.to(memory_format=format) if format == torch.channels_last else t.transpose(1, 3)

    a, b = (laid_out(torch.randn(2, 4, 6, 6)).requires_grad_() for _ in range(2))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        total, _ = ops.feature_l2(a, b)
        grads = torch.autograd.grad(total, (a, b))
    if ops.backends("feature_l2", "cpu")["native"] is None:
        assert not {e.key for e in profile.key_averages()} & {
            "aten::copy_",
            "aten::clone",
            "aten::contiguous",
        }
    for grad, want in zip(grads, torch.autograd.grad(F.mse_loss(a, b), (a, b)), strict=True):
        torch.testing.assert_close(grad, want)
        assert grad.stride() == a.stride()


def test_unequal_layouts():
    """Equal places in memory hold different elements here, and one stands in a larger tensor."""
    a, b = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    torch.testing.assert_close(ops.feature_l2(a, b)[0], F.mse_loss(a, b))
    torch.testing.assert_close(ops.feature_l2(a[:, 1:3], b[:, :2])[0], F.mse_loss(a[:, 1:3], b[:, :2]))


def test_more_pairs_than_a_launch_takes():
    a, b = pairs(*[(2, k + 1) for k in range(70)])
    weights = [1.0 + k for k in range(70)]
    total, values = ops.feature_l2(a, b, weights, distance="l1", reduction="sum")
    want = torch.stack([F.l1_loss(x, y, reduction="sum") for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(values, want)
    torch.testing.assert_close(total, (want * torch.tensor(weights)).sum())
    grads = torch.autograd.grad(total + values[69], (a[5], b[69]))
    torch.testing.assert_close(grads[0], 6 * (a[5] - b[5]).sign())
    torch.testing.assert_close(grads[1], -71 * (a[69] - b[69]).sign())


def test_nothing():
    total, values = ops.feature_l2([], [])
    assert total == 0 and values.shape == (0,)
    empty = torch.zeros(0, 4)
    assert ops.feature_l2(empty, empty)[0].isnan() and ops.feature_l2(empty, empty, reduction="sum")[0] == 0
    assert ops.feature_l2(empty, empty, reduction="batchmean")[0].isnan()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_nan_and_inf_propagate(distance, value):
    a, b = pairs((3, 5), (4, 7))
    a[1].data[2, 3] = value
    total, values = ops.feature_l2(a, b, distance=distance)
    assert not total.isfinite() and values.isfinite().tolist() == [True, False]
    grad = torch.autograd.grad(total, a[1])[0][2, 3]
    assert grad.isfinite() == (distance == "l1" and value == math.inf)


def test_autocast_takes_two_types():
    a, b = torch.randn(4, 6, dtype=torch.bfloat16), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = ops.feature_l2([a, b], [b, b])
    torch.testing.assert_close(total, F.mse_loss(a.float(), b))


def test_the_module():
    a, b = pairs((3, 5), (4, 7))
    loss = FeatureLoss([0.5, 2.0], distance="l1", reduction="sum")
    assert torch.equal(loss(a, b), ops.feature_l2(a, b, [0.5, 2.0], distance="l1", reduction="sum")[0])
    assert torch.equal(FeatureLoss()(a[0], b[0]), ops.feature_l2(a[0], b[0])[0])
    assert repr(loss) == "FeatureLoss(weights=[0.5, 2.0], distance='l1', reduction='sum')"
    with pytest.raises(ValueError, match="FeatureLoss: distance must be one of 'l2', 'l1', got 'l3'"):
        FeatureLoss(distance="l3")


X = torch.randn(5, 37)
BAD = [
    (([X], X), {}, TypeError, r"b must be a list of tensors, got \[5, 37\] float32 cpu"),
    ((X, [X]), {}, TypeError, r"b must be a tensor as a is, got \["),
    ((3, X), {}, TypeError, r"a must be a list of tensors, got 3 \(int\)"),
    (([X, X], [X]), {}, ValueError, r"b must have as many tensors as a \(2\), got 1"),
    (
        ([X, X], [X, X[:3]]),
        {},
        ValueError,
        r"b\[1\] must match a\[1\] \(\[5, 37\] float32 cpu\), got \[3, 37\]",
    ),
    ((X, X.half()), {}, ValueError, r"b must match a \(\[5, 37\] float32 cpu\), got \[5, 37\] float16 cpu"),
    (([X, X.int()], [X, X.int()]), {}, ValueError, r"a\[1\] must be float64, .*, got \[5, 37\] int32 cpu"),
    (([X, 2], [X, X]), {}, TypeError, r"a\[1\] must be a tensor, got 2"),
    (([X], [X], [1.0, 2.0]), {}, ValueError, r"weights must be a number, or one for each of the 1 pairs"),
    (([X], [X], [math.nan]), {}, ValueError, r"weights\[0\] must be a finite number, got nan"),
    (([X], [X], torch.ones(1)), {}, ValueError, r"weights must be a number, or one for each"),
    ((X, X), {"distance": "cos"}, ValueError, r"distance must be one of 'l2', 'l1', got 'cos'"),
    ((X, X), {"reduction": "none"}, ValueError, r"reduction must be one of 'mean', 'sum', 'batchmean'"),
    ((X.sum(), X.sum()), {"reduction": "batchmean"}, ValueError, r"a must have a batch dimension"),
    ((X, X.to("meta")), {}, ValueError, r"b must match a"),
]


@pytest.mark.parametrize("arguments,options,error,message", BAD)
def test_bad_input(arguments, options, error, message):
    with pytest.raises(error, match=f"^feature_l2: {message}"):
        ops.feature_l2(*arguments, **options)


RAW = [
    (([X], [X, X], [1.0], 0), "one length"),
    (([X], [X], [], 0), "one length"),
    (([X], [X[:2]], [1.0], 0), r"b\[0\] must match a\[0\]"),
    (([X], [X.double()], [1.0], 0), r"b\[0\] must match a\[0\]"),
    (([X.int()], [X.int()], [1.0], 0), r"a\[0\] must be float64"),
    (([X], [X], [1.0], 6), r"options must be in \[0, 6\)"),
]


@pytest.mark.skipif(ops.backends("feature_l2", "cpu")["native"] is not None, reason="not built")
@pytest.mark.parametrize("arguments,message", RAW)
def test_the_raw_operator_refuses_what_would_read_outside(arguments, message):
    with ops.use_backend("native"), pytest.raises(RuntimeError, match=message):
        torch.ops.bigan.feature_l2(*arguments)


@pytest.mark.skipif(ops.backends("feature_l2", "cpu")["native"] is not None, reason="not built")
def test_the_raw_backward_refuses_what_would_read_outside():
    one = torch.ones(())
    for changed in ({"wanted": [True]}, {"values": torch.ones(2)}, {"total": one.double()}):
        given = {"total": one, "values": None, "wanted": [True, False]} | changed
        with ops.use_backend("native"), pytest.raises(RuntimeError, match=f"{next(iter(changed))} must have"):
            torch.ops.bigan.feature_l2_backward(
                given["total"], given["values"], [X], [X], [1.0], 0, given["wanted"]
            )
