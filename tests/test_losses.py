"""The modules pass their options on, refuse bad ones when they are made, and print them."""

import copy
import pickle

import pytest
import torch

from bigan import losses, nets, ops

MU, LOGVAR, EPS = torch.randn(3, 4, 7).unbind()
LOGITS = torch.randn(9, 1), torch.randn(6, 1)
CLASSES = torch.randn(5, 3), torch.randn(4, 3), torch.randn(6, 3)

SAME = [
    (losses.AdversarialLoss("hinge"), LOGITS, lambda r, f: ops.logistic_adversarial(r, f, form="hinge")),
    (
        losses.AdversarialLoss(generator="swapped", label_smoothing=0.1),
        LOGITS,
        lambda r, f: ops.logistic_adversarial(r, f, generator="swapped", smoothing=0.1),
    ),
    (
        losses.TernaryAdversarialLoss(0.1),
        CLASSES,
        lambda *logits: ops.ternary_adversarial(*logits, smoothing=0.1),
    ),
    (losses.GaussianKL(), (MU, LOGVAR), lambda m, s: ops.gaussian_kl(m, s, reduction="mean")),
    (
        losses.GaussianKL("mean", "sum", 0.3, "sample", True),
        (MU, LOGVAR),
        lambda m, s: ops.gaussian_kl(
            m, s, dims="mean", reduction="sum", margin=0.3, hinge="sample", logstd=True
        ),
    ),
    (
        losses.ReparamKL(reduction="none"),
        (MU, LOGVAR, EPS),
        lambda m, s, e: ops.reparam_kl(m, s, e, reduction="none"),
    ),
    (losses.ReparamKL(margin=9.0), (MU, LOGVAR, EPS), lambda m, s, e: ops.reparam_kl(
        m, s, e, reduction="mean", margin=9.0
    )),
    (losses.MomentKL(), (MU,), lambda x: ops.moment_kl(x)[0]),
    (
        losses.MomentKL("published", "pq", "sum"),
        (MU,),
        lambda x: ops.moment_kl(x, variant="published", direction="pq", dims="sum")[0],
    ),
    (losses.LatentMatch(), (MU, EPS), ops.latent_match),
    (losses.LatentMatch("l1"), (MU, EPS), lambda a, b: ops.latent_match(a, b, "l1")),
    (nets.SphereNormalize(), (MU,), ops.sphere_normalize),
]  # fmt: skip


@pytest.mark.parametrize("module,inputs,function", SAME, ids=[str(module) for module, *_ in SAME])
def test_module_is_the_function(module, inputs, function):
    for copied in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(copied(*inputs), function(*inputs), rtol=0, atol=0)
    assert not list(module.parameters()) and not module.state_dict()


BAD = [
    (lambda: losses.AdversarialLoss("wgan"), "AdversarialLoss: form must be one of"),
    (lambda: losses.TernaryAdversarialLoss(1.5), "TernaryAdversarialLoss: label_smoothing must be"),
    (lambda: losses.GaussianKL("max"), "GaussianKL: dims must be one of 'sum', 'mean', got 'max'"),
    (lambda: losses.GaussianKL(margin=-1.0), "GaussianKL: margin must be a finite number, 0 or more"),
    (lambda: losses.ReparamKL(margin=1.0, reduction="none"), "ReparamKL: reduction must be 'mean' with"),
    (lambda: losses.MomentKL("right"), "MomentKL: variant must be one of"),
    (lambda: losses.LatentMatch("L2"), "LatentMatch: match must be one of"),
]


@pytest.mark.parametrize("make,message", BAD, ids=range(len(BAD)))
def test_bad_options_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_options_are_printed():
    assert repr(losses.GaussianKL(margin=2.0)) == (
        "GaussianKL(dims='sum', reduction='mean', margin=2.0, hinge='batch', logstd=False)"
    )
    assert repr(losses.LatentMatch("l1")) == "LatentMatch('l1')"
