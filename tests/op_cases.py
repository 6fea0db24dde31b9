"""One declaration of every operator's inputs: tests and benchmarks draw from it.

A new operator adds its cases here and is then tested for values, gradients, second gradients, opcheck,
compilation, determinism and copies, in every backend and type, and benchmarked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bigan import ops
from bigan.ops._augment import options as augment_options

# Relative and absolute tolerance by type.  The reference runs in float64 on the same (rounded) inputs, so
# what is left is the operator's own rounding: a few ulps of a float32 sum, one rounding to half types.
ELEMENT = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
# Noise is computed in float32 whatever the type of the data: cos and sin of 2 pi u differ by a few 1e-7
# between backends, times sigma.
NOISE = ELEMENT | {torch.float64: 2e-5, torch.float32: 2e-5}


@dataclass(frozen=True)
class Case:
    """A way to call an operator.

    inputs(shape, dtype, device): the differentiable tensors; where an operator takes several of different
    shapes, `shape` is a size from which they are made.  call(*inputs): the outputs, as a tuple; the last
    `constants` of them have no gradient (accuracies, say).
    bytes(shape, itemsize): least traffic of a perfect kernel, forward and backward.
    eager(*inputs): what people write without bigan, the benchmark's rival.
    """

    op: str
    name: str
    inputs: Callable[..., list[Tensor]]
    call: Callable[..., tuple[Tensor, ...]]
    shapes: tuple[tuple[int, ...], ...]
    tol: dict[torch.dtype, float]
    bench: tuple[tuple[int, ...], ...] = ()
    bytes: Callable[[tuple[int, ...], int], int] | None = None
    eager: Callable[..., tuple[Tensor, ...]] | None = None
    raw: Callable[..., tuple[Any, ...]] | None = None  # arguments of the raw operator, for opcheck
    differentiable: bool = True
    constants: int = 0
    small: tuple[int, ...] = (3, 5)  # for second gradients, whose number is the square of the elements
    rows_apart: bool = True  # rows that stand apart are read where they stand
    launches: tuple[int, int] = (1, 1)  # of a GPU, forward and backward
    numeric: bool = True  # the gradient is the derivative of the values
    passes: int = 1  # how often a kernel may read an element
    dtypes: tuple[torch.dtype, ...] = field(default=tuple(ELEMENT))

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def graded(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs that have a gradient; holds the others to having none."""
        count = len(outputs) - self.constants
        assert not any(o.requires_grad for o in outputs[count:])
        return tuple(outputs[:count])


def randn(count: int) -> Callable[..., list[Tensor]]:
    def inputs(shape, dtype, device):
        return [torch.randn(shape, dtype=torch.float64).to(device, dtype) for _ in range(count)]

    return inputs


def seed(device: torch.device) -> Tensor:
    return torch.tensor([0x9E3779B97F4A7C15 - 2**64, 41], device=device)  # both words of the seed in use


# small, odd, one, no rows, no columns, longer than every block
MATRICES = ((4, 8), (3, 37), (1, 1), (0, 16), (5, 0), (2, 1500))


def _reparam(**options):
    return lambda mu, scale: ops.reparam_kl(mu, scale, rng=seed(mu.device), stream=3, **options)


def _given(**options):
    def call(mu, scale):
        eps = torch.linspace(-2, 2, mu.numel(), dtype=torch.float64, device=mu.device).view(mu.shape)
        return ops.reparam_kl(mu, scale, eps.to(mu.dtype), **options)

    return call


def _kl(**options):
    return lambda mu, scale: (ops.gaussian_kl(mu, scale, **options),)


def _eager_reparam(mu, logvar):
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
    return z, 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()


def _eager_kl(mu, logvar):
    return (0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean(),)


def _raw_reparam(mu, scale):
    return mu, scale, None, seed(mu.device), None, 3, 1 << 2 | 1 << 4, 40.0  # reduction mean, hinge batch


LATENTS = (
    (64, 128),
    (256, 512),
    (4096, 1024),
)  # Soft-IntroVAE at 32 px; a large batch; large enough to leave the caches


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


def _case(name, call, tol=ELEMENT, **more):
    return Case("reparam_kl", name, randn(2), call, MATRICES, tol, **more)


CASES = [
    _case(
        "drawn",
        _reparam(reduction="mean"),
        NOISE,
        bench=LATENTS,
        bytes=lambda s, n: (
            8 * s[0] * s[1] * n
        ),  # forward mu, logvar, z; backward mu, logvar, grad z, two gradients
        eager=_eager_reparam,
        raw=_raw_reparam,
    ),
    _case("drawn-rows", _reparam(), NOISE),
    _case("drawn-logstd", _reparam(logstd=True, dims="mean", reduction="sum"), NOISE),
    _case("given", _given(reduction="mean", margin=30.0)),
    _case("given-sample-hinge", _given(reduction="none", margin=12.0, hinge="sample")),
    _case("given-sample-hinge-mean", _given(reduction="mean", margin=12.0, hinge="sample", logstd=True)),
    _case(
        "kl",
        _kl(reduction="mean"),
        bench=LATENTS,
        bytes=lambda s, n: 6 * s[0] * s[1] * n,
        eager=_eager_kl,
    ),
    _case("kl-mean-dims", _kl(dims="mean", logstd=True)),
    _case("kl-closed-hinge", _kl(reduction="mean", margin=0.0)),  # never passes: gradients are 0
    _logistic_case(
        "non_saturating",
        bench=LOGITS,
        bytes=lambda s, n: 3 * (2 * s[0] + 1) * s[1] * n,  # both groups read, read again, gradients written
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
        bytes=lambda s, n: 3 * (2 * s[0] + 1) * s[1] * n,
    ),
    _logistic_case(
        "hinge",
        {"form": "hinge"},
        bench=LOGITS,
        eager=_eager_hinge,
        bytes=lambda s, n: 3 * (2 * s[0] + 1) * s[1] * n,
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
    Case(
        "philox_normal",
        "float32",
        randn(1),
        lambda x: (ops.philox_normal(seed(x.device), *x.shape, stream=5, dtype=x.dtype),),
        MATRICES,
        NOISE,
        raw=lambda x: (seed(x.device), None, *x.shape, 5),
        differentiable=False,
    ),
]


# ---- AGE ----
CODES = ((64, 128), (64, 64), (256, 64), (4096, 1024))  # AGE's own; large enough to leave the caches
# The gradient has factors 1 / v and x - m: rounding of the moments shows where few rows happen to be close.
MOMENTS = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
# small, odd, one sample (no variance), no rows, no columns, many tiles of columns, many chunks of rows
BATCHES = ((4, 8), (3, 37), (1, 1), (0, 16), (5, 0), (6, 1500), (300, 5))


def _unit(x):
    return x / x.norm(dim=1, keepdim=True)


def _sphere(name, **more):
    return Case(
        "sphere_normalize", name, randn(1), lambda x: (ops.sphere_normalize(x),), MATRICES, ELEMENT, **more
    )


def _match(match, eager=None, **more):
    return Case(
        "latent_match",
        match,
        randn(2),
        lambda a, b: (ops.latent_match(a, b, match),),
        MATRICES,
        ELEMENT,
        bench=CODES if eager else (),
        bytes=lambda s, n: 6 * s[0] * s[1] * n,  # two read each way, two gradients written
        eager=eager,
        **more,
    )


def _eager_moment_kl(x):  # the authors' code
    m, v = x.mean(0), x.var(0, unbiased=False)
    return ((-v.log() + (v.square() + m.square()) / 2 - 0.5).mean(),)


def _moments(name, call, **more):
    return Case(
        "moment_kl",
        name,
        randn(1),
        call,
        BATCHES,
        MOMENTS,
        bytes=lambda s, n: 3 * s[0] * s[1] * n,
        **more,
    )


CASES += [
    _sphere(
        "rows",
        bench=CODES,
        bytes=lambda s, n: 5 * s[0] * s[1] * n,  # forward x, y; backward x, gradients of y and x
        eager=lambda x: (_unit(x),),
        raw=lambda x: (x,),
    ),
    _match("cos", lambda a, b: (2 - (_unit(a) * _unit(b)).mean(),), raw=lambda a, b: (a, b, 0)),
    _match("cosine"),
    _match("l1", lambda a, b: ((a - b).abs().mean(),)),
    _match("l2", lambda a, b: ((a - b).square().mean(),)),
    _moments("correct", lambda x: ops.moment_kl(x), raw=lambda x: (x, 0)),
    _moments("correct-pq-sum", lambda x: ops.moment_kl(x, direction="pq", dims="sum")),
    _moments(
        "published",
        lambda x: ops.moment_kl(x, variant="published")[:1],
        bench=CODES,
        eager=_eager_moment_kl,
    ),
    _moments("published-pq", lambda x: ops.moment_kl(x, variant="published", direction="pq")),
]


# ---- feature and pixel losses ----
def _layers(number, mixed=False):
    """`number` pairs, first the a's, from a size: rows that grow by one, or IAN's layers from the first.

    `mixed`: the second pair is float32 where the others are of a half type.
    """

    def inputs(shape, dtype, device):
        rows, columns, *sides = shape
        sizes = [
            (rows, columns << k, *(side >> k for side in sides)) if sides else (rows, columns + k)
            for k in range(number)
        ]
        other = torch.float32 if mixed and dtype != torch.float64 else dtype
        types = [other if k == 1 else dtype for k in range(number)]
        pairs = list(zip(sizes, types, strict=True)) * 2
        return [torch.randn(s, dtype=torch.float64).to(device, t) for s, t in pairs]

    return inputs


def _halves(tensors):
    return tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]


def _feature(name, number, weights=None, options=None, mixed=False, outputs=1, **more):
    return Case(
        "feature_l2",
        name,
        _layers(number, mixed),
        lambda *t: ops.feature_l2(*_halves(t), weights, **(options or {}))[:outputs],
        ((4, 8), (3, 37), (1, 1), (0, 16), (5, 0), (2, 3000)),
        ELEMENT,
        rows_apart=False,
        **more,
    )


def _eager_features(distance):
    def eager(*t):
        values = [distance(x, y) for x, y in zip(*_halves(t), strict=True)]
        return (sum(values) / len(values),)

    return eager


def _six(number):
    """Each pair read both ways, two gradients written."""
    return lambda s, n: 3 * n * sum(t.numel() for t in _layers(number)(s, torch.float32, "meta"))


_WEIGHTS = [0.5, 2.0, 1.0]
PIXELS = ((64, 3, 32, 32), (16, 3, 256, 256))
CASES += [
    _feature("mixed", 3, _WEIGHTS, mixed=True, outputs=2, raw=lambda *t: (*_halves(t), _WEIGHTS, 0)),
    _feature("l1-sum", 3, _WEIGHTS, {"distance": "l1", "reduction": "sum"}, mixed=True, outputs=2),
    _feature("batchmean", 1, None, {"reduction": "batchmean"}),
    _feature("ian", 4, 0.25, bench=((16, 128, 32, 32),), bytes=_six(4), eager=_eager_features(F.mse_loss)),
    _feature("pixel-l2", 1, bench=PIXELS, bytes=_six(1), eager=_eager_features(F.mse_loss)),
    _feature(
        "pixel-l1", 1, None, {"distance": "l1"}, bench=PIXELS, bytes=_six(1), eager=_eager_features(F.l1_loss)
    ),
]


# ---- IAN's minibatch discrimination ----
# IAN's kernels of 5 dimensions; 2; several chunks of 8; none; one sample; nothing; more than a tile each way
ACTIVATIONS = ((4, 9, 5), (3, 7, 2), (2, 3, 19), (3, 2, 0), (1, 4, 5), (0, 4, 5), (5, 0, 5), (19, 9, 5))


def _activations(shape, dtype, device):
    """[B, K, D]; a matrix [B, N] becomes [B, N / 4, 5]."""
    batch, kernels, *dims = shape
    size = (batch, kernels, *dims) if dims else (batch, max(1, kernels // 4), 5)
    return [torch.randn(size, dtype=torch.float64).mul(0.4).to(device, dtype)]


def _eager_minibatch_discrimination(a):  # the authors' code
    distance = (a[:, None] - a[None]).abs().sum(3) + 1e6 * torch.eye(len(a), device=a.device)[..., None]
    return ((-distance).exp().sum(1),)


def _minibatch_bytes(shape, itemsize):
    batch, kernels, *dims = shape
    count, dim = (batch * kernels, dims[0]) if dims else (batch * (kernels // 4), 5)
    return count * (3 * dim + 2) * itemsize  # forward x, f; backward x, gradients of f and x


CASES += [
    Case(
        "minibatch_discrimination",
        "l1",
        _activations,
        lambda a: (ops.minibatch_discrimination(a),),
        ACTIVATIONS,
        ELEMENT,
        bench=((16, 500, 5), (128, 500, 5)),  # IAN, IAN_simple
        bytes=_minibatch_bytes,
        eager=_eager_minibatch_discrimination,
        raw=lambda a: (a,),
    ),
]


# ---- spectral norms ----
# PAGAN's critic (spec 7.1); (512, 4608) stands for it among the benchmark's shapes
PAGAN = (64, 27), (128, 1024), (128, 1152), (256, 2048), (256, 2304), (512, 4096), (512, 4608), (1, 8192)


def _critic(shape, dtype, device):
    """A linear layer, a convolution and a transposed one, from a size."""
    o, n = (max(size, 1) for size in shape)
    sizes = PAGAN if shape == (512, 4608) else ((o, n), (3, o, 2, 2), (2, o, 3))
    return [torch.randn(s, dtype=torch.float64).to(device, dtype) for s in sizes]


def _dims(weights):
    return [1 if w.dim() == 3 else 0 for w in weights]


def _vectors(weights):
    """u and v of length 1, without gradient."""
    acc = torch.float64 if weights[0].dtype == torch.float64 else torch.float32
    flat: tuple[list[Tensor], list[Tensor]] = ([], [])
    for w, dim in zip(weights, _dims(weights), strict=True):
        for into, size in zip(flat, (w.shape[dim], w.numel() // w.shape[dim]), strict=True):
            x = torch.arange(size, dtype=acc, device=w.device).cos()
            into.append(x / x.norm())
    return [torch.cat(parts) for parts in flat]


def _spectral(name, iterate=True, normalize=True, **more):
    def call(*weights):
        sigma, u, v, normalized = ops.spectral_sigma(
            weights, *_vectors(weights), dims=_dims(weights), iterate=iterate, normalize=normalize
        )
        return (sigma, *normalized, u, v)

    return Case(
        "spectral_sigma",
        name,
        _critic,
        call,
        ((4, 8), (3, 37), (1, 1), (6, 1500)),
        # sigma and, from it, everything is as exact as a sum that cancels
        {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2},
        constants=2,
        rows_apart=False,
        numeric=not iterate,  # u and v move with the weights there, but are constants for the gradient
        **more,
    )


def _eager_spectral(*weights):
    """torch.nn.utils.parametrizations.spectral_norm, layer by layer."""
    sigmas, normalized, us, vs = [], [], [], []
    u, v = _vectors(weights)
    ws = [w.flatten(1) for w in weights]
    for w, u_l, v_l in zip(ws, u.split([len(w) for w in ws]), v.split([w.shape[1] for w in ws]), strict=True):
        with torch.no_grad():
            u_l = F.normalize(w @ v_l, dim=0, eps=1e-12)
            v_l = F.normalize(w.T @ u_l, dim=0, eps=1e-12)
        sigmas.append(torch.vdot(u_l, w @ v_l))
        normalized.append(w / sigmas[-1])
        us.append(u_l)
        vs.append(v_l)
    return torch.stack(sigmas), *normalized, torch.cat(us), torch.cat(vs)


CASES += [
    _spectral(
        "step",
        launches=(3, 2),
        bench=((512, 4608),),
        # three reads and a write each way; what fits into any cache is not counted
        bytes=lambda s, n: (
            8 * n * sum(w.numel() for w in _critic(s, torch.float32, "meta") if w.numel() >= 512)
        ),
        eager=_eager_spectral,
        raw=lambda *w: (w, _dims(w), *_vectors(w), 3, 1e-12),
    ),
    _spectral("step-sigma", normalize=False, launches=(2, 1)),
    _spectral("evaluation", iterate=False, launches=(2, 2)),
    _spectral("evaluation-sigma", iterate=False, normalize=False, launches=(1, 1)),
]


# ---- images ----
# odd, one pixel, no images, more elements than a block takes at a time
IMAGES = ((2, 3, 5, 7), (1, 1, 1, 1), (0, 3, 4, 4), (1, 4, 4, 70))
FILTERED = IMAGES[:1]
PICTURES = ((64, 3, 32, 32), (64, 3, 64, 64), (256, 3, 64, 64))


def _size(shape):
    """[B, C, H, W] as it is; of [B, n] a batch of images with about n elements each."""
    return (
        shape if len(shape) == 4 else (shape[0], 1 if shape[1] < 6 else 2, 3, max(3, min(25, shape[1] // 6)))
    )


def _images(shape, dtype, device):
    return [torch.randn(_size(shape), dtype=torch.float64).to(device, dtype)]


def _data(shape, dtype, device):
    """A column of the wanted type, a row an image to take; a uint8 data set of three more; their numbers."""
    B, *image = _size(shape)
    data = torch.randint(0, 256, (B + 3, *image), dtype=torch.uint8).to(device)
    index = (torch.arange(B)[:, None] * 5 + 1) % (B + 3)
    return [torch.zeros(B, 1, dtype=dtype, device=device), data, index.to(device)]


def _allowed(x, options):
    """A single pixel has nothing to reflect."""
    return {k: v for k, v in options.items() if min(x.shape[2:]) > 2 or k not in ("pad", "kernel_size")}


def _augment(**options):
    def call(x):
        result = ops.augment_pair(x, rng=seed(x.device), stream=7, **_allowed(x, options))
        return result if isinstance(result, tuple) else (result,)

    return call


def _gather(**options):
    def call(like, data, index):
        data, index = data.to(torch.uint8), index.long()[:, 0]
        drawn = {"rng": seed(data.device), "stream": 7} if len(options) > 2 else {}
        result = ops.gather_images(data, index, dtype=like.dtype, **drawn, **_allowed(data, options))
        return result if isinstance(result, tuple) else (result,)

    return call


# Crops for up to 512 images, where they are wanted: made once, so that they cost neither rival anything.
OFFSETS = torch.randint(0, 7, (512, 2), generator=torch.Generator().manual_seed(0))
OFFSETS_ON = {d: OFFSETS.to(d) for d in ("cpu", *["cuda"] * torch.cuda.is_available())}


def _offset(x, pad):
    offset = OFFSETS_ON[x.device.type][: len(x)]
    return offset if pad == 3 else offset.clamp(max=2 * pad)


def _pad(x):
    """3 pixels, as PAGAN's images of 32 x 32; fewer where that is more than the image has."""
    return min(3, *(n - 1 for n in x.shape[2:]))


def _cropped(x):
    draw = ops.Draw(_offset(x, _pad(x)))
    return (ops.augment_pair(x, pad=_pad(x), layout="width", draw=draw),)


def _given_blur(x):
    sample = torch.arange(len(x), device=x.device)
    draw = ops.Draw(flip=sample % 2 == 0, sigma=0.5 + 0.2 * sample.float())
    return (ops.augment_pair(x, kernel_size=3, draw=draw),)


def _eager_cropped(x):
    """Pad, take each image's window by advanced indexing, lay the pair out."""
    B, C, H, W = x.shape
    padded, offset = F.pad(x, (3, 3, 3, 3), mode="reflect"), _offset(x, 3)
    rows = offset[:, 0, None] + torch.arange(H, device=x.device)
    columns = offset[:, 1, None] + torch.arange(W, device=x.device)
    b, c = torch.arange(B, device=x.device), torch.arange(C, device=x.device)
    y = padded[b[:, None, None, None], c[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
    return (torch.cat([x, y], 3),)


def _eager_given_blur(x):
    """Flip some, then a depthwise convolution along each side with each image's own taps."""
    B, C, H, W = x.shape
    sample = torch.arange(B, device=x.device)
    x = torch.where((sample % 2 == 0)[:, None, None, None], x.flip(3), x)
    taps = torch.exp(-0.5 * (torch.arange(-1, 2, device=x.device) / (0.5 + 0.2 * sample)[:, None]) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).to(x.dtype).repeat_interleave(C, 0)  # [B C, 3]
    y = F.pad(x, (1, 1, 1, 1), mode="reflect").view(1, B * C, H + 2, W + 2)
    y = F.conv2d(y, taps[:, None, :, None], groups=B * C)
    return (F.conv2d(y, taps[:, None, None, :], groups=B * C).view(x.shape),)


def _gather_pair(like, data, index):
    """PAGAN's batch: images mirrored or not, beside their crops."""
    data, index = data.to(torch.uint8), index.long()[:, 0]
    if min(data.shape[2:]) < 3 or not len(index):  # nothing to reflect
        return (ops.gather_images(data, index, dtype=like.dtype, scale=2 / 255, shift=-1.0),)
    pad = _pad(data)
    draw = ops.Draw(_offset(index, pad), mirror=index % 2 == 0)
    return (
        ops.gather_images(
            data, index, layout="width", pad=pad, draw=draw, dtype=like.dtype, scale=2 / 255, shift=-1.0
        ),
    )


def _eager_gather_pair(like, data, index):
    index = index[:, 0]
    x = data[index].to(like.dtype) * (2 / 255) - 1
    return _eager_cropped(torch.where((index % 2 == 0)[:, None, None, None], x.flip(3), x))


def _eager_gather(like, data, index):
    return (data[index[:, 0]].to(like.dtype) * (2 / 255) - 1,)


def _raw_how(device):
    """Everything at once, drawn: the pair along the width, pad 1, flip 1/2, 3 taps, contrast."""
    packed = augment_options(1, 0, True, torch.float32)
    return (seed(device), *[None] * 6, 7, packed, 1, 3, 2**31, 0, 0.5, 1.5, 0.5, 1.5, 2.0, 0.5)


CASES += [
    Case(
        "augment_pair",
        "given-crop",
        _images,
        _cropped,
        IMAGES,
        ELEMENT,
        bench=PICTURES,
        bytes=lambda s, n: 6 * math.prod(_size(s)) * n,  # image and pair, each way
        eager=_eager_cropped,
    ),
    Case(
        "augment_pair",
        "zero",
        _images,
        _augment(pad=2, mode="zero", flip=0.5, layout="apart", scale=2.0, shift=-0.5),
        IMAGES,
        ELEMENT,
    ),
    Case(
        "augment_pair",
        "filtered",
        _images,
        _augment(pad=1, flip=0.5, kernel_size=3, contrast=(0.5, 1.5), layout="channels", shift=0.5),
        FILTERED,
        ELEMENT,
        raw=lambda x: (x, *_raw_how(x.device)),
        passes=12,  # 9 taps, the mean, the image itself
    ),
    Case(
        "augment_pair",
        "given-blur",
        _images,
        _given_blur,
        FILTERED,
        ELEMENT,
        passes=10,
        bench=PICTURES,
        bytes=lambda s, n: 4 * math.prod(_size(s)) * n,
        eager=_eager_given_blur,
    ),
    Case(
        "gather_images",
        "image",
        _data,
        _gather(scale=2 / 255, shift=-1.0),
        IMAGES,
        ELEMENT,
        bench=PICTURES,
        bytes=lambda s, n: math.prod(_size(s)) * (1 + n),
        eager=_eager_gather,
        differentiable=False,
    ),
    Case(
        "gather_images",
        "pair",
        _data,
        _gather(mirror=0.5, pad=2, flip=0.5, layout="width", scale=2 / 255, shift=-1.0),
        IMAGES,
        ELEMENT,
        differentiable=False,
    ),
    Case(
        "gather_images",
        "given-pair",
        _data,
        _gather_pair,
        IMAGES,
        ELEMENT,
        bench=PICTURES,
        bytes=lambda s, n: math.prod(_size(s)) * (1 + 2 * n),
        eager=_eager_gather_pair,
        differentiable=False,
    ),
    Case(
        "gather_images",
        "filtered",
        _data,
        _gather(mirror=0.5, pad=1, kernel_size=3, contrast=(0.5, 1.5), layout="apart", scale=2 / 255),
        FILTERED,
        ELEMENT,
        raw=lambda like, data, index: (data, index[:, 0], *_raw_how(data.device)),
        passes=12,
        differentiable=False,
    ),
]
