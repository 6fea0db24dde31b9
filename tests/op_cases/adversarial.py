"""Critics' losses: of one logit, and of three."""

import math

import torch
import torch.nn.functional as F

from bigan import ops
from op_cases.case import ELEMENT, MATRICES, Case


def _groups(shape, dtype, device):
    """Logits of real and of fake, of different sizes; with an empty shape one of them, or both, are empty."""
    sizes = (shape, (shape[0] + 1, *shape[1:]))
    return [torch.randn(s, dtype=torch.float64).mul(2).to(device, dtype) for s in sizes]


def _rows_of_three(shape, dtype, device):
    """[B, 3], [B + 3, 3], [B // 2, 3], B the elements of `shape`: a batch of nothing leaves one group."""
    rows = math.prod(shape)
    return [
        torch.randn(b, 3, dtype=torch.float64).mul(2).to(device, dtype) for b in (rows, rows + 3, rows // 2)
    ]


def _logistic(**options):
    return lambda real, fake: ops.logistic_adversarial(real, fake, **options)


def _ternary(**options):
    return lambda *logits: ops.ternary_adversarial(*logits, **options)


def _eager_logistic(real, fake):
    loss_d = F.softplus(-real).mean() + F.softplus(fake).mean()
    accuracy = torch.stack([(real > 0).to(real.dtype).mean(), (fake < 0).to(real.dtype).mean()])
    return loss_d, F.softplus(-fake).mean(), accuracy


def _eager_swapped(real, fake):
    loss_d, loss_g, accuracy = _eager_logistic(real, fake)
    return loss_d, loss_g + F.softplus(real).mean(), accuracy


def _eager_hinge(real, fake):
    loss_d = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    accuracy = torch.stack([(real > 0).to(real.dtype).mean(), (fake < 0).to(real.dtype).mean()])
    return loss_d, -fake.mean(), accuracy


def _eager_ternary(*logits):
    def ce(k, label):
        return F.cross_entropy(logits[k], torch.full((len(logits[k]),), label, device=logits[k].device))

    right = [(t.argmax(1) == k).to(t.dtype).mean() for k, t in enumerate(logits)]
    return ce(0, 0) + ce(1, 1) + ce(2, 2), ce(1, 0) + ce(2, 0), torch.stack(right)


def _adversarial(op, inputs, name, call, **more):
    return Case(op, name, inputs, call, MATRICES, ELEMENT, constants=1, **more)


def _logistic_case(name, options=None, **more):
    return _adversarial("logistic_adversarial", _groups, name, _logistic(**(options or {})), **more)


def _ternary_case(name, options=None, **more):
    call = _ternary(**(options or {}))
    return _adversarial("ternary_adversarial", _rows_of_three, name, call, small=(2,), **more)


LOGITS = ((64, 1), (200, 1), (4096, 1), (1024, 512))  # PAGAN, ALI, a large batch; a million in both groups
TRIPLES = ((16,), (64,), (4096,), (2**17,))  # IAN; a million logits in the three groups


def _two_groups(shape, itemsize):
    """Both groups read, read again, gradients written."""
    return 3 * (2 * shape[0] + 1) * shape[1] * itemsize


CASES = [
    _logistic_case(
        "non_saturating",
        bench=LOGITS,
        bytes=_two_groups,
        eager=_eager_logistic,
        raw=lambda real, fake: (real, fake, 0, 0.0),
    ),
    _logistic_case("smoothed", {"smoothing": 0.1}),
    _logistic_case("saturating", {"generator": "saturating"}),
    _logistic_case(
        "swapped",
        {"generator": "swapped"},
        bench=LOGITS,
        eager=_eager_swapped,
        bytes=_two_groups,
    ),
    _logistic_case(
        "hinge",
        {"form": "hinge"},
        bench=LOGITS,
        eager=_eager_hinge,
        bytes=_two_groups,
    ),
    _logistic_case("hinge-swapped", {"form": "hinge", "generator": "swapped"}),
    _logistic_case("least_squares", {"form": "least_squares"}),
    _logistic_case("least_squares-swapped", {"form": "least_squares", "generator": "swapped"}),
    _logistic_case("least_squares-saturating", {"form": "least_squares", "generator": "saturating"}),
    _logistic_case("wasserstein", {"form": "wasserstein"}),
    _ternary_case(
        "plain",
        bench=TRIPLES,
        bytes=lambda s, n: 9 * (2 * math.prod(s) + 3 + math.prod(s) // 2) * n,
        eager=_eager_ternary,
        raw=lambda *logits: (*logits, 0.1),
    ),
    _ternary_case("smoothed", {"smoothing": 0.1}),
]
