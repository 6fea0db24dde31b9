"""What is special to logistic_adversarial: closed forms, eager PyTorch, extreme logits, errors."""

import math

import pytest
import torch
import torch.nn.functional as F

from bigan import losses, ops
from bigan.ops.logistic_adversarial import FORMS, GENERATORS

BACKENDS = pytest.mark.parametrize("backend", ["reference", "native"])


@pytest.fixture(autouse=True)
def chosen(request):
    """Tests with a parameter `backend` run in it."""
    backend = getattr(request.node, "callspec", None) and request.node.callspec.params.get("backend")
    if backend and (reason := ops.backends("logistic_adversarial", "cpu")[backend]):
        pytest.skip(reason)
    with ops.use_backend(backend or "auto"):
        yield


@BACKENDS
def test_zero_logits(backend):
    """Spec section 10: 1.38629 for each critic, 0.69315 for each generator's term."""
    real, fake = torch.zeros(64, 1), torch.zeros(48, 1)
    for generator, want in (("non_saturating", 1), ("saturating", -1), ("swapped", 2)):
        loss_d, loss_g, accuracy = ops.logistic_adversarial(real, fake, generator=generator)
        assert loss_d.item() == pytest.approx(1.38629, abs=1e-5)
        assert loss_g.item() == pytest.approx(want * 0.69315, abs=1e-5)
        assert accuracy.tolist() == [0, 0]  # undecided is wrong
    for form, want_d, want_g in (("hinge", 2, 0), ("least_squares", 0.5, 0.5), ("wasserstein", 0, 0)):
        assert [v.item() for v in ops.logistic_adversarial(real, fake, form=form)[:2]] == [want_d, want_g]


@BACKENDS
def test_is_what_people_write(backend):
    real, fake = torch.randn(7, 1), torch.randn(11, 1)
    bce = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(11, 1), torch.zeros(11, 1)
    loss_d, loss_g, accuracy = ops.logistic_adversarial(real, fake, smoothing=0.1)
    torch.testing.assert_close(loss_d, bce(real, 0.9 * ones[:7]) + bce(fake, zeros))
    torch.testing.assert_close(loss_g, bce(fake, ones))
    assert accuracy.tolist() == [(real > 0).float().mean().item(), (fake < 0).float().mean().item()]
    swapped = ops.logistic_adversarial(real, fake, generator="swapped")[1]
    torch.testing.assert_close(swapped, bce(fake, ones) + bce(real, zeros[:7]))
    saturating = ops.logistic_adversarial(real, fake, generator="saturating")[1]
    torch.testing.assert_close(saturating, -bce(fake, zeros))
    loss_d, loss_g, _ = ops.logistic_adversarial(real, fake, form="least_squares")
    torch.testing.assert_close(loss_d, (F.mse_loss(real, ones[:7]) + F.mse_loss(fake, zeros)) / 2)
    torch.testing.assert_close(loss_g, F.mse_loss(fake, ones) / 2)
    loss_d, loss_g, _ = ops.logistic_adversarial(real, fake, form="hinge")
    torch.testing.assert_close(loss_d, F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    torch.testing.assert_close(loss_g, -fake.mean())
    loss_d, loss_g, _ = ops.logistic_adversarial(real, fake, form="wasserstein")
    torch.testing.assert_close(loss_d, fake.mean() - real.mean())
    torch.testing.assert_close(loss_g, -fake.mean())


@BACKENDS
@pytest.mark.parametrize("size", [50.0, 90.0, 1e4])
def test_extreme_logits(size, backend):
    """No overflow, and a gradient on the side where one is left."""
    real = torch.tensor([[size], [-size]]).requires_grad_()
    fake = torch.tensor([[size]]).requires_grad_()
    loss_d, loss_g, accuracy = ops.logistic_adversarial(real, fake)
    torch.testing.assert_close(loss_d, torch.tensor(1.5 * size))
    assert loss_g.item() == pytest.approx(math.exp(-size), rel=1e-5, abs=1e-37)
    assert accuracy.tolist() == [0.5, 0.0]
    grad_real, grad_fake = torch.autograd.grad(loss_d, (real, fake), retain_graph=True)
    torch.testing.assert_close(grad_real, torch.tensor([[0.0], [-0.5]]))
    assert grad_fake.item() == 1.0
    assert torch.autograd.grad(loss_g, fake)[0].item() == pytest.approx(-math.exp(-size), rel=1e-5, abs=1e-37)


@BACKENDS
def test_small_losses_keep_their_precision(backend):
    """log(1 + e) of a small e, where 1 + e is 1."""
    a = torch.linspace(-30, 30, 4001)
    for value in a.split(1):
        loss_g = ops.logistic_adversarial(value, value)[1]
        want = F.softplus(-value.double(), threshold=1e9).squeeze()
        torch.testing.assert_close(loss_g.double(), want, rtol=6e-7, atol=0)


@BACKENDS
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("form", FORMS)
def test_nan_and_inf_propagate(form, generator, backend):
    for group in range(2):
        logits = [torch.zeros(300, 1), torch.zeros(200, 1)]
        logits[group][150] = math.nan
        loss_d, loss_g, accuracy = ops.logistic_adversarial(*logits, form=form, generator=generator)
        assert loss_d.isnan() and loss_g.isnan() == (group == 1 or generator == "swapped")
        assert accuracy.isfinite().all()
    right = torch.full((3, 1), math.inf)
    loss_d, _, accuracy = ops.logistic_adversarial(right, -right, form=form)
    want = {"logistic": 0.0, "hinge": 0.0, "least_squares": math.inf, "wasserstein": -math.inf}
    assert loss_d == want[form] and accuracy.tolist() == [1, 1]


@BACKENDS
def test_an_empty_group_adds_nothing(backend):
    fake = torch.randn(5, 1, requires_grad=True)
    loss_d, loss_g, accuracy = ops.logistic_adversarial(torch.empty(0, 1), fake)
    torch.testing.assert_close(loss_d, F.softplus(fake).mean())
    torch.testing.assert_close(loss_g, F.softplus(-fake).mean())
    assert accuracy[0].isnan() and not accuracy[1].isnan()
    loss_d, loss_g, accuracy = ops.logistic_adversarial(torch.empty(0), torch.empty(0, 3))
    assert loss_d == 0 and loss_g == 0 and accuracy.isnan().all()


@BACKENDS
def test_any_shape(backend):
    real, fake = torch.randn(3, 1, 5, 4), torch.randn(2, 1, 5, 4)
    want = ops.logistic_adversarial(real.flatten(), fake.flatten())
    for shaped in (real, real.to(memory_format=torch.channels_last), real.view(60, 1)):
        torch.testing.assert_close(ops.logistic_adversarial(shaped, fake), want)
    both = torch.stack([real.flatten(), -real.flatten()], 1).requires_grad_()  # a column of a larger output
    loss_d, _, _ = ops.logistic_adversarial(both[:, 0], fake)
    torch.testing.assert_close(loss_d, want[0])
    (grad,) = torch.autograd.grad(loss_d, both)
    assert grad[:, 0].all() and not grad[:, 1].any()
    assert ops.logistic_adversarial(torch.tensor(0.0), torch.tensor(0.0))[0].shape == ()


def test_one_player_at_a_time():
    """What the other's loss would add is not in the gradient; accuracies have none."""
    real, fake = torch.randn(6, 1, requires_grad=True), torch.randn(6, 1, requires_grad=True)
    loss_d, loss_g, accuracy = ops.logistic_adversarial(real, fake)
    assert loss_d.requires_grad and loss_g.requires_grad and not accuracy.requires_grad
    grad_real, grad_fake = torch.autograd.grad(loss_g, (real, fake), retain_graph=True)
    assert not grad_real.any()
    torch.testing.assert_close(grad_fake, -torch.sigmoid(-fake) / 6)
    (grad,) = torch.autograd.grad(loss_d, fake)
    torch.testing.assert_close(grad, torch.sigmoid(fake) / 6)


def test_autocast_takes_two_types():
    real, fake = torch.randn(4, 1, dtype=torch.bfloat16), torch.randn(4, 1)
    with torch.autocast("cpu", torch.bfloat16):
        loss_d, loss_g, _ = ops.logistic_adversarial(real, fake)
    assert loss_d.dtype == loss_g.dtype == torch.float32
    torch.testing.assert_close(loss_d, ops.logistic_adversarial(real.float(), fake)[0])


def test_module():
    real, fake = torch.randn(5, 1), torch.randn(9, 1)
    module = losses.AdversarialLoss("logistic", "swapped", label_smoothing=0.2)
    want = ops.logistic_adversarial(real, fake, generator="swapped", smoothing=0.2)
    assert all(torch.equal(a, b) for a, b in zip(module(real, fake), want, strict=True))
    assert repr(module) == "AdversarialLoss('logistic', 'swapped', label_smoothing=0.2)"
    for bad in ({"form": "bce"}, {"generator": "x"}, {"label_smoothing": 2}):
        with pytest.raises(ValueError, match=f"AdversarialLoss: {next(iter(bad))} must be"):
            losses.AdversarialLoss(**bad)
    with pytest.raises(ValueError, match="label_smoothing must be 0 with form='hinge'"):
        losses.AdversarialLoss("hinge", label_smoothing=0.1)


@pytest.mark.parametrize(
    "change,error,message",
    [
        ({"real": [0.0]}, TypeError, "real must be a tensor"),
        ({"fake": None}, TypeError, "fake must be a tensor, got None"),
        ({"real": torch.ones(5, 1).long()}, ValueError, r"real must be float64, .*got \[5, 1\] int64 cpu"),
        (
            {"fake": torch.ones(5, 1).double()},
            ValueError,
            r"fake must have the dtype and device of real \(\[5, 1\] float32 cpu\), got \[5, 1\] float64 cpu",
        ),
        (
            {"fake": torch.ones(5, 1, device="meta")},
            ValueError,
            "fake must have the dtype and device of real",
        ),
        ({"form": "bce"}, ValueError, "form must be one of 'logistic', 'hinge', .*, got 'bce'"),
        ({"generator": "minimax"}, ValueError, "generator must be one of 'non_saturating', .*got 'minimax'"),
        ({"smoothing": 1.0}, ValueError, r"smoothing must be a number in \[0, 1\), got 1.0"),
        ({"smoothing": -0.1}, ValueError, "smoothing must be a number"),
        ({"smoothing": math.nan}, ValueError, "smoothing must be a number"),
        ({"smoothing": 0.1, "form": "hinge"}, ValueError, "smoothing must be 0 with form='hinge'"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=f"logistic_adversarial: {message}"):
        ops.logistic_adversarial(**({"real": torch.ones(5, 1), "fake": torch.ones(5, 1)} | change))


@pytest.mark.parametrize(
    "change,message",
    [
        ({0: torch.randn(5)}, "real must have two dimensions"),
        ({1: torch.randn(5, 1).double()}, "fake must have the dtype and device of real"),
        ({2: 12}, "options must be"),
        ({2: -1}, "options must be"),
    ],
)
def test_raw_operator_refuses_what_would_read_outside(change, message):
    if reason := ops.backends("logistic_adversarial", "cpu")["native"]:
        pytest.skip(reason)
    args = [torch.randn(5, 1), torch.randn(4, 1), 0, 0.0]
    for position, value in change.items():
        args[position] = value
    with pytest.raises(RuntimeError, match=message):
        torch.ops.bigan.logistic_adversarial(*args)
