"""What is special to ternary_adversarial: closed forms, torch's cross-entropy, extreme logits, errors."""

import math

import pytest
import torch
import torch.nn.functional as F

from bigan import losses, ops

BACKENDS = pytest.mark.parametrize("backend", ["reference", "native"])


@pytest.fixture(autouse=True)
def chosen(request):
    """Tests with a parameter `backend` run in it."""
    backend = getattr(request.node, "callspec", None) and request.node.callspec.params.get("backend")
    if backend and (reason := ops.backends("ternary_adversarial", "cpu")[backend]):
        pytest.skip(reason)
    with ops.use_backend(backend or "auto"):
        yield


@BACKENDS
def test_uniform_softmax(backend):
    """Spec section 10: 3.29584 and 2.19722, whatever the smoothing."""
    for smoothing in (0.0, 0.1):
        logits = [torch.full((b, 3), 5.0) for b in (16, 4, 9)]
        loss_d, loss_g, accuracy = ops.ternary_adversarial(*logits, smoothing=smoothing)
        assert loss_d.item() == pytest.approx(3.29584, abs=1e-5)
        assert loss_g.item() == pytest.approx(2.19722, abs=1e-5)
        assert accuracy.tolist() == [0, 0, 0]  # undecided is wrong


@BACKENDS
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_is_torchs_cross_entropy(smoothing, backend):
    logits = [torch.randn(b, 3, requires_grad=True) for b in (16, 5, 9)]
    loss_d, loss_g, accuracy = ops.ternary_adversarial(*logits, smoothing=smoothing)

    def ce(k, label, smoothing=0.0):
        labels = torch.full((len(logits[k]),), label)
        return F.cross_entropy(logits[k], labels, label_smoothing=smoothing)

    want_d = sum(ce(k, k, smoothing) for k in range(3))
    want_g = ce(1, 0) + ce(2, 0)
    torch.testing.assert_close(loss_d, want_d)
    torch.testing.assert_close(loss_g, want_g)
    for k in range(3):
        assert accuracy[k].item() == pytest.approx((logits[k].argmax(1) == k).float().mean().item())
    assert not accuracy.requires_grad
    for got, want in ((loss_d, want_d), (loss_g, want_g)):  # one player at a time
        grads = torch.autograd.grad(got, logits, retain_graph=True)
        wants = torch.autograd.grad(want, logits, retain_graph=True, allow_unused=True)
        for a, b, t in zip(grads, wants, logits, strict=True):
            torch.testing.assert_close(a, torch.zeros_like(t) if b is None else b)


@BACKENDS
@pytest.mark.parametrize("size", [50.0, 90.0, 1e4])
def test_extreme_logits(size, backend):
    right = [torch.zeros(2, 3).index_fill(1, torch.tensor([k]), size) for k in range(3)]
    loss_d, loss_g, accuracy = ops.ternary_adversarial(*right)
    absolute = 1e-6 if backend == "reference" else 1e-37  # torch's log_softmax rounds 1 + e
    assert loss_d.item() == pytest.approx(6 * math.exp(-size), rel=1e-5, abs=absolute)
    torch.testing.assert_close(loss_g, torch.tensor(2 * size))
    assert accuracy.tolist() == [1, 1, 1]
    wrong = [right[1].requires_grad_(), right[2].requires_grad_(), right[0].requires_grad_()]
    loss_d, loss_g, accuracy = ops.ternary_adversarial(*wrong)
    torch.testing.assert_close(loss_d, torch.tensor(3 * size))
    assert accuracy.tolist() == [0, 0, 0]
    grads = torch.autograd.grad(loss_d, wrong)
    assert grads[0].tolist() == [[-0.5, 0.5, pytest.approx(0, abs=1e-20)]] * 2


@BACKENDS
def test_nan_and_inf_propagate(backend):
    for k in range(3):
        for j in range(3):
            logits = [torch.randn(7, 3) for _ in range(3)]
            logits[k][4, j] = math.nan
            loss_d, loss_g, accuracy = ops.ternary_adversarial(*logits)
            assert loss_d.isnan() and loss_g.isnan() == (k > 0) and accuracy.isfinite().all()
    ruled_out = [torch.zeros(2, 3) for _ in range(3)]
    ruled_out[0][:, 2] = -math.inf  # a class that a group never takes costs nothing
    assert ops.ternary_adversarial(*ruled_out)[0].item() == pytest.approx(math.log(2) + 2 * math.log(3))
    assert ops.ternary_adversarial(*ruled_out, smoothing=0.1)[0] == math.inf


@BACKENDS
def test_an_empty_group_adds_nothing(backend):
    rec, gen = torch.randn(4, 3), torch.randn(2, 3)
    loss_d, loss_g, accuracy = ops.ternary_adversarial(torch.empty(0, 3), rec, gen)
    labels = torch.zeros(4, dtype=torch.long)
    torch.testing.assert_close(loss_g, F.cross_entropy(rec, labels) + F.cross_entropy(gen, labels[:2]))
    torch.testing.assert_close(
        loss_d, F.cross_entropy(rec, labels + 1) + F.cross_entropy(gen, labels[:2] + 2)
    )
    assert accuracy.isnan().tolist() == [True, False, False]


def test_autocast_takes_two_types():
    real, rec, gen = torch.randn(4, 3), torch.randn(4, 3).bfloat16(), torch.randn(4, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss_d = ops.ternary_adversarial(real, rec, gen)[0]
    torch.testing.assert_close(loss_d, ops.ternary_adversarial(real, rec.float(), gen.float())[0])


def test_module():
    logits = [torch.randn(b, 3) for b in (4, 5, 6)]
    module = losses.TernaryAdversarialLoss(label_smoothing=0.2)
    want = ops.ternary_adversarial(*logits, smoothing=0.2)
    assert all(torch.equal(a, b) for a, b in zip(module(*logits), want, strict=True))
    assert repr(module) == "TernaryAdversarialLoss(label_smoothing=0.2)"
    with pytest.raises(ValueError, match=r"TernaryAdversarialLoss: label_smoothing must be .*, got 1.5"):
        losses.TernaryAdversarialLoss(1.5)


@pytest.mark.parametrize(
    "change,error,message",
    [
        ({"real": [0.0]}, TypeError, "real must be a tensor"),
        ({"generated": None}, TypeError, "generated must be a tensor, got None"),
        ({"real": torch.ones(5, 3).long()}, ValueError, r"real must be float64, .*got \[5, 3\] int64 cpu"),
        ({"reconstruction": torch.ones(5, 2)}, ValueError, r"reconstruction must be \[B, 3\], got \[5, 2\]"),
        ({"generated": torch.ones(3)}, ValueError, r"generated must be \[B, 3\], got \[3\] float32 cpu"),
        (
            {"generated": torch.ones(5, 3).double()},
            ValueError,
            r"generated must have the dtype and device of real \(\[5, 3\] float32 cpu\), got .* float64",
        ),
        ({"smoothing": 1.0}, ValueError, r"smoothing must be a number in \[0, 1\), got 1.0"),
        ({"smoothing": math.nan}, ValueError, "smoothing must be a number"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    good = {name: torch.ones(5, 3) for name in ("real", "reconstruction", "generated")}
    with pytest.raises(error, match=f"ternary_adversarial: {message}"):
        ops.ternary_adversarial(**(good | change))


@pytest.mark.parametrize(
    "change,message",
    [
        ({0: torch.randn(5)}, r"real must be \[B, 3\], got \[5\]"),
        ({1: torch.randn(5, 2)}, r"reconstruction must be \[B, 3\], got \[5, 2\]"),
        ({2: torch.randn(5, 3).double()}, "generated must have the dtype and device of real"),
    ],
)
def test_raw_operator_refuses_what_would_read_outside(change, message):
    if reason := ops.backends("ternary_adversarial", "cpu")["native"]:
        pytest.skip(reason)
    args = [torch.randn(5, 3), torch.randn(4, 3), torch.randn(3, 3), 0.0]
    for position, value in change.items():
        args[position] = value
    with pytest.raises(RuntimeError, match=message):
        torch.ops.bigan.ternary_adversarial(*args)
