"""What is special to spectral_sigma and SpectralNorm: torch's own values, layouts, the network around it."""

import copy
import io
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from bigan import ops
from bigan.spectral_norm import LAYERS, SpectralNorm


def vectors(weights, dims):
    sizes = [(w.shape[dim], w.numel() // w.shape[dim]) for w, dim in zip(weights, dims, strict=True)]
    rows, columns = zip(*sizes, strict=True)
    return [
        torch.cat([F.normalize(torch.randn(n, dtype=weights[0].dtype), dim=0) for n in lengths])
        for lengths in (rows, columns)
    ]


class Critic(nn.Module):
    """Every kind of layer, a normalisation between, and one layer used twice."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(8, 6, 4, 2, 1),
            nn.BatchNorm2d(6),
        )
        self.head = nn.Linear(6 * 16 * 16, 5)
        self.again = nn.Linear(5, 5, bias=False)

    def forward(self, x):
        h = self.again(self.head(self.body(x).flatten(1)))
        return self.again(h.tanh())


def normed_by_torch(norm):
    """The same network and vectors with torch's parametrisation."""
    net = copy.deepcopy(norm.net)
    layers = [m for m in net.modules() if isinstance(m, LAYERS)]
    for layer in layers:
        spectral_norm(layer)
    rows = [layer.parametrizations.weight[0]._u.numel() for layer in layers]
    columns = [layer.parametrizations.weight[0]._v.numel() for layer in layers]
    for layer, u, v in zip(layers, norm.u.split(rows), norm.v.split(columns), strict=True):
        layer.parametrizations.weight[0]._u.copy_(u)
        layer.parametrizations.weight[0]._v.copy_(v)
    return net


def forward(net, x):
    """A layer that occurs twice makes one step of power iteration, not two."""
    with nn.utils.parametrize.cached():
        return net(x)


def plain_name(name):
    return name.replace("parametrizations.weight.original", "weight")


def test_values_and_gradients_are_torchs_over_several_steps():
    torch.manual_seed(0)
    norm = SpectralNorm(Critic(), start=1)
    other = normed_by_torch(norm)
    optimisers = [torch.optim.SGD(net.parameters(), 0.1) for net in (norm, other)]
    for _ in range(4):
        x = torch.randn(4, 3, 8, 8)
        outputs = []
        for net, optimiser in zip((norm, other), optimisers, strict=True):
            optimiser.zero_grad()
            # two forwards, one backward: the first one's vectors must outlive the second's step
            loss = F.softplus(-forward(net, x)).mean() + F.softplus(forward(net, -x)).mean()
            loss.backward()
            optimiser.step()
            outputs.append(loss.detach())
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-6)
    mine = dict(norm.net.named_parameters())
    for name, p in other.named_parameters():
        torch.testing.assert_close(mine[plain_name(name)], p, rtol=1e-4, atol=1e-5)
    us = [m.parametrizations.weight[0]._u for m in other.modules() if hasattr(m, "parametrizations")]
    torch.testing.assert_close(norm.u, torch.cat(us), rtol=1e-4, atol=1e-5)
    norm.eval(), other.eval()
    before = norm.u.clone(), norm.v.clone()
    torch.testing.assert_close(norm(x), forward(other, x), rtol=1e-4, atol=1e-5)
    assert torch.equal(norm.u, before[0]) and torch.equal(norm.v, before[1])


def test_after_enough_steps_the_norms_are_one():
    norm = SpectralNorm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 4)), start=200)
    weights = [m.weight for m in norm.net]
    sigma, _, _, normalized = ops.spectral_sigma(weights, norm.u, norm.v, dims=[0, 1], iterate=False)
    for s, w, n, dim in zip(sigma, weights, normalized, (0, 1), strict=True):
        torch.testing.assert_close(
            s, torch.linalg.matrix_norm(w.transpose(0, dim).flatten(1), 2), rtol=1e-4, atol=0
        )
        torch.testing.assert_close(n, w / s)


def test_the_network_keeps_its_parameters():
    net = Critic()
    names = [name for name, _ in net.named_parameters()]
    norm = SpectralNorm(net)
    out = norm(torch.randn(2, 3, 8, 8))
    assert [name for name, _ in norm.net.named_parameters()] == names and norm.net is net
    assert all(isinstance(p, nn.Parameter) and p.is_leaf for p in net.parameters())
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_copies_and_checkpoints():
    norm, x = SpectralNorm(Critic()).eval(), torch.randn(2, 3, 8, 8)
    want = norm(x)
    other = SpectralNorm(Critic()).eval()
    other.load_state_dict(norm.state_dict())
    stream = io.BytesIO()
    torch.save(norm, stream)
    stream.seek(0)
    for twin in (
        other,
        copy.deepcopy(norm),
        pickle.loads(pickle.dumps(norm)),
        torch.load(stream, weights_only=False),
    ):
        assert torch.equal(twin(x), want)
    norm.train()(x)
    assert not torch.equal(norm.u, other.u)  # a copy has vectors of its own


def test_evaluation_then_training_then_backward():
    """The step writes into the buffers that evaluation's graph was made from."""
    norm, x = SpectralNorm(nn.Linear(6, 4)), torch.randn(3, 6)
    first = norm.eval()(x).sum()
    want = torch.autograd.grad(first, norm.net.weight, retain_graph=True)[0]
    norm.train()(x)
    assert torch.equal(torch.autograd.grad(first, norm.net.weight)[0], want)


def test_weights_that_are_shared_have_one_norm():
    a, b = nn.Linear(5, 5), nn.Linear(5, 5)
    b.weight = a.weight
    norm = SpectralNorm(nn.Sequential(a, b))
    assert norm.u.shape == (5,)
    x = torch.randn(2, 5)
    sigma = ops.spectral_sigma([a.weight], norm.u, norm.v)[0]
    want = F.linear(F.linear(x, a.weight / sigma, a.bias), a.weight / sigma, b.bias)
    torch.testing.assert_close(norm(x), want)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("iterate", [True, False])
def test_channels_last_is_read_in_place(iterate, dtype):
    """u and v do not depend on the memory format; outputs and gradients have the weight's."""
    plain = [torch.randn(6, 5, 3, 3, dtype=dtype), torch.randn(4, 6, 1, 2, dtype=dtype)]
    plain.append(torch.randn(3, 7, 2, 2, dtype=dtype))
    dims = [0, 0, 1]  # a transposed convolution is copied
    last = [w.to(memory_format=torch.channels_last).requires_grad_() for w in plain]
    plain = [w.requires_grad_() for w in plain]
    u, v = vectors(plain, dims)
    up = [torch.randn_like(w) for w in plain]  # contiguous
    results = []
    for weights in (plain, last):
        sigma, new_u, new_v, normalized = ops.spectral_sigma(weights, u, v, dims=dims, iterate=iterate)
        grads = torch.autograd.grad([sigma, *normalized], weights, [torch.ones_like(sigma), *up])
        results.append((sigma, new_u, new_v, *normalized, *grads))
        for t in (*normalized[:2], *grads[:2]):
            assert t.is_contiguous(
                memory_format=torch.contiguous_format if weights is plain else torch.channels_last
            )
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_more_weights_than_a_launch_takes():
    weights = [torch.randn(2 + k % 3, 4, requires_grad=True) for k in range(70)]
    u, v = vectors([w.detach() for w in weights], [0] * 70)
    sigma, new_u, new_v, normalized = ops.spectral_sigma(weights, u, v)
    grads = torch.autograd.grad(sum(n.sin().sum() for n in normalized) + sigma.sum(), weights)
    row = 0
    for k, w in enumerate(weights):
        one = slice(row, row + len(w)), slice(4 * k, 4 * k + 4)
        alone = ops.spectral_sigma([w], u[one[0]], v[one[1]])
        torch.testing.assert_close(
            (sigma[k : k + 1], new_u[one[0]], new_v[one[1]], normalized[k]), (*alone[:3], alone[3][0])
        )
        torch.testing.assert_close(
            grads[k], torch.autograd.grad(alone[3][0].sin().sum() + alone[0].sum(), w)[0]
        )
        row += len(w)


def test_part_of_the_outputs():
    """The gradient by some normalised weights alone; by sigma alone."""
    weights = [torch.randn(3, 4, requires_grad=True), torch.randn(5, 2, requires_grad=True)]
    u, v = vectors([w.detach() for w in weights], [0, 0])
    sigma, new_u, new_v, normalized = ops.spectral_sigma(weights, u, v)
    grads = torch.autograd.grad(normalized[1].sum(), weights, retain_graph=True)
    assert not grads[0].any() and grads[1].any()
    got = torch.autograd.grad(sigma[0], weights)
    torch.testing.assert_close(got[0], torch.outer(new_u[:3], new_v[:4]))
    assert not got[1].any()


@pytest.mark.parametrize("iterate", [True, False])
def test_zero_and_nan(iterate):
    weights = [torch.zeros(3, 4), torch.ones(2, 2)]
    u, v = vectors(weights, [0, 0])
    sigma, _, _, normalized = ops.spectral_sigma(weights, u, v, iterate=iterate)
    assert sigma[0] == 0 and normalized[0].isnan().all() and normalized[1].isfinite().all()
    weights[0][1, 2] = math.nan
    sigma = ops.spectral_sigma(weights, u, v, iterate=iterate)[0]
    assert sigma.isnan().tolist() == [True, False]


def test_works_under_compile():
    norm = SpectralNorm(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)))
    twin, x = copy.deepcopy(norm), torch.randn(4, 6)
    compiled = torch.compile(norm, backend="aot_eager")
    for _ in range(2):
        torch.testing.assert_close(compiled(x), twin(x))
    torch.testing.assert_close(norm.u, twin.u)


W, U, V = torch.randn(5, 37), torch.randn(5), torch.randn(37)
BAD = [
    ((W, U, V), {}, TypeError, "weights must be a list of at least one tensor"),
    (([], U, V), {}, TypeError, "weights must be a list of at least one tensor"),
    (([W, 3], U, V), {}, TypeError, r"weights\[1\] must be a tensor, got 3"),
    (([W, W.int()], U, V), {}, ValueError, r"weights\[1\] must be float64, .* got \[5, 37\] int32"),
    (([W, W.double()], U, V), {}, ValueError, r"weights\[1\] must have the dtype and device of weights\[0\]"),
    (([U], U, V), {}, ValueError, r"weights\[0\] must have two dimensions or more, and elements, got \[5\]"),
    (([W[:0]], U, V), {}, ValueError, r"weights\[0\] must have two dimensions or more, and elements"),
    (([W], U[:4], V), {}, ValueError, r"u must be \[5\] float32 cpu, got \[4\] float32 cpu"),
    (([W], U, V.double()), {}, ValueError, r"v must be \[37\] float32 cpu, got \[37\] float64 cpu"),
    (([W], U, V), {"dims": [2]}, ValueError, r"dims\[0\] must be 0 or 1, got 2"),
    (([W], U, V), {"dims": [0, 0]}, ValueError, "dims must have one number for each of the 1 weights"),
    (([W], U, V), {"eps": 0}, ValueError, "eps must be a positive number, got 0"),
]


@pytest.mark.parametrize("arguments,options,error,message", BAD, ids=range(len(BAD)))
def test_bad_arguments_are_named(arguments, options, error, message):
    with pytest.raises(error, match=f"^spectral_sigma: {message}"):
        ops.spectral_sigma(*arguments, **options)


def test_a_network_without_layers():
    with pytest.raises(
        ValueError, match="SpectralNorm: net must have a convolution or linear layer, got ReLU"
    ):
        SpectralNorm(nn.ReLU())
    with pytest.raises(TypeError, match=r"SpectralNorm: net must be a torch\.nn\.Module, got 3"):
        SpectralNorm(3)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (([W], [0, 0], U, V, 3, 1e-12), "one length"),
        (([W], [0], U[:4], V, 3, 1e-12), "u must have 5 elements"),
        (([W], [0], U, V[:4], 3, 1e-12), "v must have 37 elements"),
        (([W], [2], U, V, 3, 1e-12), "dims 0 or 1"),
        (([U], [0], U, V, 3, 1e-12), "two dimensions"),
        (([W, W.double()], [0, 0], U, V, 3, 1e-12), "dtype and device"),
        (([W], [0], U, V, 4, 1e-12), r"options must be in \[0, 4\)"),
    ],
)
def test_the_raw_operator_refuses_what_would_read_outside(arguments, message):
    if reason := ops.backends("spectral_sigma", "cpu")["native"]:
        pytest.skip(reason)
    with pytest.raises(RuntimeError, match=message):
        torch.ops.bigan.spectral_sigma(*arguments)
    backward = torch.ops.bigan.spectral_sigma_backward
    with pytest.raises(RuntimeError, match="sigma must have 1 elements"):
        backward(None, [], [W], [0], U, U, V)
    with pytest.raises(RuntimeError, match="grad_normalized must"):
        backward(None, [W[:2]], [W], [0], U[:1], U, V)
