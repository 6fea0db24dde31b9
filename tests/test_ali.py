"""ALI's step against independent pseudocode, its networks and numbers, and what it refuses."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from introvae_comparison import descend_plainly, same, statistics
from step_mutants import each, kinds, mutants, survivors
from torch import nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, leaky_relu, softplus

from bigan import ops
from bigan.engine.noise import Noise
from bigan.metrics import mixture
from bigan.nets.ali import Dropout, Maxout
from bigan.systems import ali

LR, BATCH, SIDE = 0.3, 6, 8
SMALL = ali.Config(
    enc=((3, 1, 3), (4, 2, 4), (2, 1, 3)), dec=((2, 1, 3), (4, 2, 4), (3, 1, 3)),
    critic_x=((3, 1, 4), (3, 1, 4), (2, 2, 6), (2, 1, 4)), critic_z=(4, 2), critic_xz=(6, 4),
    z_dim=3, lr=LR, init_std=0.3,
)  # fmt: skip
CASES = {
    "maxout, official dropout": dict(),
    "maxout, the paper's dropout": dict(variant="paper"),
    "leaky rectifiers": dict(maxout=1, dropout=(0.2, 0.3), slope=0.02),
    "biases everywhere": dict(critic_z_bias=True, dropout=(0.0, 0.0)),
    "labels": dict(labels=2, embedding=3),
    "noise, linear": dict(noise=2, output="linear", maxout=1, labels=1, embedding=2),
    "joint critic alone": dict(critic_x=((8, 1, 4),), critic_z=(), dropout=(0.1, 0.4)),
}


def config(**changes):
    return dataclasses.replace(SMALL, **changes)


def start(c):
    torch.manual_seed(1)
    system = ali.build(c, (2, SIDE, SIDE)).double()
    with torch.no_grad():
        for p in system.parameters():
            if not p.any():  # biases that are not nothing
                p.normal_(std=0.3)
    return system


class Net:
    """A network as its parameters in order, and its running statistics."""

    def __init__(self, module):
        self.params = [p.detach().clone().requires_grad_() for p in module.parameters()]
        self.stats = [[m.clone() for m in pair] for pair in statistics(module)]

    def begin(self):
        self.left, self.norm = iter(self.params), iter(self.stats)

    def take(self):
        return next(self.left)

    def normalised(self, x):
        gain, shift = self.take(), self.take()
        mean, var, n = x.detach().mean((0, 2, 3)), x.detach().var((0, 2, 3)), next(self.norm)
        n[:] = [0.95 * n[0] + 0.05 * mean, 0.95 * n[1] + 0.05 * var]
        return batch_norm(x, None, None, gain, shift, training=True, eps=1e-4)


def encoder(net, x, y, c):
    net.begin()
    for _, stride, _ in c.enc:
        x = leaky_relu(net.normalised(conv2d(x, net.take(), stride=stride)), c.slope)
    x = conv2d(x if y is None else torch.cat([x, y], 1), net.take(), net.take())
    return x[:, :, 0, 0]


def decoder(net, z, c):
    net.begin()
    x = z[:, :, None, None]
    for _, stride, _ in c.dec:
        x = leaky_relu(net.normalised(conv_transpose2d(x, net.take(), stride=stride)), c.slope)
    x = conv2d(x, net.take()) + net.take()
    return x.sigmoid() if c.output == "sigmoid" else x


def dropout(x, p):
    return Dropout(p)(x)  # test_dropout holds it


def critic(net, x, z, y, c):
    net.begin()
    first, rest = c.dropout

    def act(x):
        if c.maxout == 1:
            return leaky_relu(x, c.slope)
        return torch.stack([x[:, k :: c.maxout] for k in range(c.maxout)]).max(0).values

    shifted = c.variant == "official" and c.maxout > 1
    for i, (_, stride, _) in enumerate(c.critic_x):
        # CIFAR-10's release, layer by layer: input, input, before the maxout, nowhere, input
        before = i == 0 or not shifted or i % 3 == 1
        x = dropout(x, rest if i else first) if before else x
        if c.maxout == 1 and i > 0:
            x = net.normalised(conv2d(x, net.take(), stride=stride))
        else:
            x = conv2d(x, net.take(), net.take(), stride=stride)
        x = act(dropout(x, rest) if shifted and i % 3 == 2 else x)
    z = z[:, :, None, None]
    for i in range(len(c.critic_z)):
        z = act(conv2d(dropout(z, rest if i else first), net.take(), net.take() if c.critic_z_bias else None))
    h = torch.cat([x, z] if y is None else [x, z, y], 1)
    for _ in c.critic_xz:
        h = act(conv2d(dropout(h, rest), net.take(), net.take()))
    return conv2d(dropout(h, rest), net.take(), net.take()).flatten()


def compare(case):
    c = config(**CASES[case])
    system = start(c)
    E, G, D = Net(system.enc), Net(system.dec), Net(system.critic)
    players, noise = system.players(), Noise(7, "cpu")
    rand = torch.Generator().manual_seed(2)
    for k in range(2):
        x = torch.rand(BATCH, 2, SIDE, SIDE, dtype=torch.double, generator=rand)
        labels = torch.randint(2, (BATCH, c.labels), generator=rand) if c.labels else None
        noise.at(k)
        drop = torch.get_rng_state()
        terms = system.step(x, noise, labels, kimg=0.0, **players)
        torch.set_rng_state(drop)

        rng = torch.tensor([7, k])
        z = ops.philox_normal(rng, BATCH, c.z_dim, stream=0, dtype=torch.double)
        y = (labels.double() @ system.embedding)[:, :, None, None] if c.labels else None
        want = {}
        if c.noise:
            eps = ops.philox_normal(rng, BATCH, c.noise * SIDE**2, stream=1, dtype=torch.double)
            z_q = encoder(E, torch.cat([x, eps.reshape(BATCH, c.noise, SIDE, SIDE)], 1), y, c)
        else:
            eps = ops.philox_normal(rng, BATCH, c.z_dim, stream=1, dtype=torch.double)
            out = encoder(E, x, y, c)
            mu, ls = out[:, : c.z_dim], out[:, c.z_dim :]
            z_q = mu + ls.exp() * eps
            want["kl"] = (0.5 * (mu**2 + (2 * ls).exp() - 1) - ls).sum(1).mean()
        x_p = decoder(G, z if y is None else torch.cat([z, y.flatten(1)], 1), c)
        a = critic(D, torch.cat([x, x_p]), torch.cat([z_q, z]), None if y is None else torch.cat([y, y]), c)
        a_q, a_p = a[:BATCH], a[BATCH:]
        want["loss_d"] = (softplus(-a_q) + softplus(a_p)).mean()
        want["loss_g"] = (softplus(a_q) + softplus(-a_p)).mean()
        want["right_q"], want["right_p"] = (a_q > 0).double().mean(), (a_p < 0).double().mean()
        by_d = torch.autograd.grad(want["loss_d"], D.params, retain_graph=True)
        by_g = torch.autograd.grad(want["loss_g"], E.params + G.params)
        with torch.no_grad():
            for p, g in zip(D.params + E.params + G.params, by_d + by_g, strict=True):
                p -= LR * g

        assert terms.keys() == want.keys() and not any(t.requires_grad for t in terms.values())
        same(terms, {name: term.detach() for name, term in want.items()})
        for module, bare in ((system.enc, E), (system.dec, G), (system.critic, D)):
            same(list(module.parameters()), bare.params)
            same([list(pair) for pair in statistics(module)], bare.stats)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    compare(case)


METHODS = ("step", "posterior", "with_noise", "embed", "joined")
EXCHANGED = {
    "x": ["x_p"], "x_p": ["x"], "z": ["z_q"], "z_q": ["z"], "real": ["fake"], "fake": ["real"],
    "loss_d": ["loss_g"], "loss_g": ["loss_d"], "critic": ["coders"], "coders": ["critic"],
    "right_q": ["right_p"], "right_p": ["right_q"], "mu": ["logstd"], "logstd": ["mu"],
    '"swapped"': ['"non_saturating"', '"saturating"'], '"mean"': ['"sum"'], "y": ["None"],
}  # fmt: skip
GRAPHS = {"x_p", "z_q", "mu", "logstd", "loss_d", "loss_g", "real", "fake"}
MUTANTS = mutants(ali, METHODS, exchanged=EXCHANGED, graphs=GRAPHS)


def compare_refusals():
    for c, shape in ((config(labels=2), (BATCH, 3)), (config(), (BATCH, 2)), (config(labels=2), None)):
        with pytest.raises(ValueError, match="ali: labels must be"):
            start(c).embed(None if shape is None else torch.zeros(shape))


def test_every_mutant_is_caught(monkeypatch):
    descend_plainly(monkeypatch)
    assert kinds(MUTANTS) >= {"real -> fake", "x_p -> x", "z_q -> z_q.detach()", "loss_d -> loss_g"}
    assert len(MUTANTS) > 50
    assert survivors(MUTANTS, [*each(compare, CASES), compare_refusals]) == []


COUNTS = {  # millions of parameters of encoder, decoder, critic
    "CIFAR10": (3.12, 0.98, 2.61), "SVHN": (3.32, 1.77, 5.28), "CELEBA": (6.79, 11.81, 15.19),
}  # fmt: skip
DOWN = {  # sides of the maps
    "CIFAR10": [32, 28, 13, 10, 4, 1, 1], "SVHN": [32, 28, 13, 10, 4, 1, 1], "CELEBA": [64, 63, 29, 13, 4, 1],
    "IMAGENET": [64, 31, 28, 13, 10, 4, 1, 1, 1],
}  # fmt: skip
JOINT = {"CIFAR10": 512, "SVHN": 1024, "CELEBA": 1536, "IMAGENET": 2304}


@pytest.mark.parametrize("name", DOWN)
def test_networks_are_the_authors(name):
    c, side = getattr(ali, name), DOWN[name][0]
    with torch.device("meta"):
        system = ali.build(c, (3, side, side))
        x, z = torch.empty(2, 3, side, side), torch.empty(2, c.z_dim)
    nets = (system.enc, system.dec, system.critic)
    if name in COUNTS:
        assert tuple(round(sum(p.numel() for p in net.parameters()) / 1e6, 2) for net in nets) == COUNTS[name]
    found = [side]
    for m in system.enc.body:
        if isinstance(m, nn.Conv2d):
            m.register_forward_hook(lambda _, __, out: found.append(out.shape[-1]))
    assert system.enc(x).shape == (2, 2 * c.z_dim) and found == DOWN[name]
    assert system.dec(z).shape == (2, 3, side, side)
    assert system.critic(x, z).shape == (2,)
    assert next(m for m in system.critic.joint if isinstance(m, nn.Conv2d)).in_channels == JOINT[name]


def test_cifar10_dropout_of_code_and_paper():
    def drops(variant):
        c = dataclasses.replace(ali.CIFAR10, variant=variant)
        with torch.device("meta"):
            critic = ali.build(c, (3, 32, 32)).critic
        kinds = {nn.Conv2d: "c", ali.nets.ali.Pointwise: "c", ali.nets.ali.Maxout: "m"}
        return [
            " ".join(str(m.p) if isinstance(m, nn.Dropout) else kinds[type(m)] for m in tower)
            for tower in (critic.image, critic.code, critic.joint)
        ]

    rest = ["0.2 c m 0.5 c m", "0.5 c m 0.5 c m 0.5 c"]
    assert drops("official") == ["0.2 c m 0.5 c m c 0.5 m c m 0.5 c m", *rest]
    assert drops("paper") == ["0.2 c m 0.5 c m 0.5 c m 0.5 c m 0.5 c m", *rest]


def test_losses_start_at_two_ln_two():
    """All logits 0: each of the four terms is ln 2."""
    system = ali.build(config(), (2, SIDE, SIDE))
    nn.init.zeros_(system.critic.joint[-1].weight)
    terms = system.step(torch.rand(4, 2, SIDE, SIDE), Noise(0, "cpu").at(0), kimg=0, **system.players())
    assert float(terms["loss_d"]) == pytest.approx(2 * math.log(2))
    assert float(terms["loss_g"]) == pytest.approx(1.38629, abs=1e-5)


def test_one_critic_pass_on_both_kinds_of_pairs():
    system = ali.build(config(), (2, SIDE, SIDE))
    passes = []
    for name in ("enc", "dec", "critic"):
        net = getattr(system, name)
        net.register_forward_pre_hook(lambda _, given, name=name: passes.append((name, len(given[0]))))
    system.step(torch.rand(4, 2, SIDE, SIDE), Noise(0, "cpu").at(0), kimg=0, **system.players())
    assert sorted(passes) == [("critic", 8), ("dec", 4), ("enc", 4)]


def test_output_starts_at_the_mean_image():
    system = ali.build(config(init_std=0.01), (2, SIDE, SIDE))
    x = torch.rand(30, 2, SIDE, SIDE) * torch.linspace(0, 1, SIDE)  # one column all black
    with torch.no_grad():
        system.prepare(x)
        torch.testing.assert_close(system.dec.untied.bias.sigmoid(), x.mean(0), atol=1e-6, rtol=0)
        got = system.sample(20, Noise(0, "cpu").at(0)).mean(0)
    assert (got - x.mean(0)).abs().max() < 0.01
    assert system.dec.untied.bias.shape == (2, SIDE, SIDE)


def test_codes_are_posterior_means_and_labels_reach_all_networks():
    c = config(labels=2, embedding=3, init_std=0.5)
    system = ali.build(c, (2, SIDE, SIDE))
    x, z, labels = torch.rand(3, 2, SIDE, SIDE), torch.randn(3, 3), torch.eye(3)[:, :2]
    with system.inference():
        code = system.encode(x, labels)
        same(code, system.enc(x, system.embed(labels))[:, :3])
        assert (code != system.encode(x, 1 - labels)).any()
        assert (system.decode(z, labels) != system.decode(z, 1 - labels)).any()
        drawn = [system.infer(x, Noise(0, "cpu").at(0), y) for y in (labels, labels, 1 - labels)]
        assert torch.equal(drawn[0], drawn[1]) and (drawn[0] != drawn[2]).any()
        same(system.reconstruct(x, labels), system.decode(code, labels))
        samples = system.sample(3, Noise(0, "cpu").at(0), labels)
        same(samples, system.generate(system.prior(3, Noise(0, "cpu").at(0)), labels))
        a, b = (system.critic(x, z, system.embed(y)) for y in (labels, 1 - labels))
        assert (a != b).any()
    assert not any(p is system.embedding for p in system.parameters())
    with torch.device("meta"):
        big = ali.build(ali.CELEBA_CONDITIONAL, (3, 64, 64))
    assert big.embedding.shape == (40, 256) and big.labels == 40
    assert big.enc.head.in_channels == 512 + 256
    assert big.critic.joint[1].in_channels == 1536 + 256


def test_native_kernels_train_as_the_reference_does():
    """Fifty steps, parameters equal to rounding."""
    ends = []
    for backend in ("reference", "auto"):
        torch.manual_seed(0)
        system = ali.build(config(lr=1e-3), (1, SIDE, SIDE)).double()
        players, noise = system.players(), Noise(0, "cpu")
        x = torch.rand(50, 6, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.double)
        with ops.use_backend(backend):
            for k in range(50):
                system.step(x[k], noise.at(k), kimg=0.0, **players)
        ends.append(torch.cat([p.detach().flatten() for p in system.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-4)


def test_presets_are_the_published_settings():
    def row(p):
        c = p.config
        return c.z_dim, c.slope, c.maxout, c.dropout, c.lr, p.batch, p.size, round(p.kimg * 1000)

    rows = {name: row(p) for name, p in ali.PRESETS.items()}
    assert rows["cifar10"] == (64, 0.1, 2, (0.2, 0.5), 1e-4, 100, 32, 6475 * 45_000)
    assert rows["svhn"] == (256, 0.01, 1, (0.2, 0.2), 1e-4, 100, 32, 100 * 531_131)
    assert rows["celeba"] == (256, 0.02, 1, (0.2, 0.2), 1e-4, 100, 64, 123 * 162_770)
    assert rows["celeba-conditional"] == (256, 0.02, 1, (0.2, 0.2), 1e-4, 128, 64, 123 * 162_770)
    assert ali.PRESETS["celeba-conditional"].config == dataclasses.replace(ali.CELEBA, labels=40)
    assert rows["imagenet64"] == (256, 0.01, 1, (0.2, 0.2), 1e-4, 128, 64, 125 * 1_281_167)
    system = ali.build(config(), (2, SIDE, SIDE))
    assert all(p.opt.defaults["betas"] == (0.5, 0.999) for p in system.players().values())
    norms = [m for m in system.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all((m.eps, m.momentum) == (1e-4, 0.05) for m in norms)
    same(copy.deepcopy(system).state_dict(), system.state_dict())


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        ({}, (2, 9, 9), "dec makes images of side 8; resize them to that, got 9 x 9"),
        ({}, (2, 8, 9), "got 8 x 9"),
        ({}, (0, 8, 8), "one channel or more"),
        ({"enc": ((3, 1, 3),)}, (2, 8, 8), r"enc must end in one pixel, got sides \[8, 6\]"),
        ({"critic_x": ((9, 1, 4),)}, (2, 8, 8), r"critic_x must end in one pixel, got sides \[8, 0\]"),
        ({"enc": ()}, (2, 8, 8), "enc and dec must have a layer or more"),
        (
            {"enc": ((8, 0, 3),)},
            (2, 8, 8),
            "enc must be triples of kernel, stride and channels",
        ),
        ({"critic_z": (0,)}, (2, 8, 8), "critic_z must be triples"),
        ({"critic_xz": ()}, (2, 8, 8), "critic_xz must have a layer or more"),
        ({"critic_z": (3,)}, (2, 8, 8), r"widths must divide by maxout 2, got \[.*3.*\]"),
        ({"maxout": 0}, (2, 8, 8), "maxout must be positive, got 0"),
        ({"z_dim": 0}, (2, 8, 8), "z_dim must be positive, got 0"),
        ({"labels": -1}, (2, 8, 8), "labels must not be negative, got -1"),
        ({"embedding": 0}, (2, 8, 8), "embedding must be positive, got 0"),
        ({"lr": float("nan")}, (2, 8, 8), "lr must not be negative, got nan"),
        ({"dropout": (0.2, 1.0)}, (2, 8, 8), "dropout must be two shares"),
        ({"variant": "code"}, (2, 8, 8), "'official' or 'paper', got 'code'"),
        ({"output": "tanh"}, (2, 8, 8), "'sigmoid' or 'linear', got 'tanh'"),
    ],
)
def test_what_it_cannot_take_is_refused_before_training(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        ali.build(config(**changes), shape)


def test_the_mixture():
    data = mixture.points(0)
    modes, near = mixture.covered(data.flatten(1))
    assert data.shape == (100_000, 2, 1, 1) and modes == 25
    assert near == pytest.approx(1 - math.exp(-9 / 2), abs=2e-3)  # of a Gaussian in the plane
    assert mixture.covered(torch.tensor([[-4.0, 2.1], [-3.9, 2.0], [3.5, 0.0]]))[0] == 2
    real, again, new = mixture.drawn(*mixture.train(0, 0.3, 1e-4, "cpu"), 0)
    assert real.shape == again.shape == new.shape == (10_000, 2) and torch.equal(
        real, data[:10_000].flatten(1)
    )
    modes, near = mixture.covered(new)
    assert 1 <= modes <= 25 and 0 <= near <= 1 and 0 < mixture.error(real, again) < 10
    quick = mixture.drawn(*mixture.train(0, 0.3, 1e-4, "cpu", fast=True), 0)[1]
    assert mixture.error(real, quick) == pytest.approx(mixture.error(real, again), rel=1e-3)


def test_a_picture_of_the_plane():
    """A square each; up is up, and what is out of reach is left out."""
    cloud = torch.tensor([[5.9, 5.9]] * 4 + [[-5.9, -5.9], [9.0, 0.0]])
    grey = np.asarray(mixture.picture(cloud, torch.zeros(0, 2), side=12))
    assert grey.shape == (20, 40) and grey[0, 0] == 160
    assert grey[4, 15] == 0 and grey[15, 4] == 127 and (grey[4:16, 4:16] < 255).sum() == 2
    assert (grey[4:16, 24:36] == 255).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout(p, layout):
    """Each element by itself, kept with 1 - p, the mean untouched; the gradient through the same mask."""
    x = torch.ones(20, 7, 31, 33).contiguous(memory_format=layout).requires_grad_()
    y = Dropout(p)(x)
    kept = y != 0
    n = x.numel()
    assert abs(kept.double().mean() - (1 - p)) < 4 * (p * (1 - p) / n) ** 0.5 + 1 / 65536
    assert y[kept].unique().numel() == 1 and y[kept][0].item() == pytest.approx(1 / (1 - p), rel=1e-4)
    assert y.stride() == x.stride()
    rows, columns = kept.double().mean((0, 1, 3)), kept.double().mean((0, 1, 2))  # no pattern in the bits
    assert (torch.cat([rows, columns]) - (1 - p)).abs().max() < 6 * (p * (1 - p) * 33 / n) ** 0.5
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(Dropout(p).eval()(x), x)
    torch.manual_seed(3)
    again = Dropout(p)(x)
    assert not torch.equal(again, y)
    torch.manual_seed(3)
    assert torch.equal(Dropout(p)(x), again)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maxout_of_two(layout):
    x = torch.randn(3, 6, 4, 5, dtype=torch.double).contiguous(memory_format=layout).requires_grad_()
    assert torch.equal(Maxout(2)(x), x.unflatten(1, (-1, 2)).amax(2))
    assert torch.autograd.gradcheck(Maxout(2), x)
    (grad,) = torch.autograd.grad(Maxout(2)(x).sum(), x)
    assert grad.stride() == x.stride()
