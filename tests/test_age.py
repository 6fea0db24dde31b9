"""AGE's step against independent pseudocode, its networks and numbers, and what it refuses."""

import copy

import pytest
import torch
from introvae_comparison import descend_plainly, same, statistics
from step_mutants import each, kinds, mutants, survivors
from torch import nn

from bigan import nets, ops
from bigan.engine.noise import Noise
from bigan.systems import age

BATCH, SHAPE, LR = 12, (2, 32, 32), 0.02
E, G = "1;KL_fake:0.7,KL_real:1.3,match_z:0,match_x:0.9", "2;KL_fake:0.8,match_z:1.7,match_x:0"
ALL_E = "2;KL_fake:0.7,KL_real:1.3,match_z:0.6,match_x:0.9"
ALL_G = "2;KL_fake:0.8,match_z:1.7,match_x:0.4"
CASES = {  # weights apart from each other and from one, so that none can stand in for another
    "as published": dict(),
    "every term": dict(e_updates=ALL_E, g_updates=ALL_G, match_z="l2", match_x="cosine"),
    "right formula": dict(variant="paper", e_updates=ALL_E),
    "other direction": dict(direction="pq"),
    "both": dict(direction="pq", variant="paper", g_updates=ALL_G, sphere=False),
    "no reconstruction": dict(e_updates="1;KL_fake:0.7,KL_real:1.3"),
}


def config(**changes):
    base = dict(width=1, z_dim=3, e_updates=E, g_updates=G, lr=LR, epoch=50, drop_lr=3)
    return age.Config(**{**base, **changes})


def start(c, shape=SHAPE):
    torch.manual_seed(1)
    system = age.build(c, shape).double()
    with torch.no_grad():
        for p in system.parameters():  # so that neither side's codes lie in one point
            p.mul_(6 if p.ndim > 1 else 1)
    return system


def divergence(e, c):
    m = e.mean(0)
    v = ((e - m) ** 2).mean(0)
    kl = {
        ("qp", "official"): (v**2 + m**2) / 2 - v.log() - 0.5,
        ("qp", "paper"): (v + m**2 - 1 - v.log()) / 2,
        ("pq", "official"): (1 + m**2) / (2 * v**2) + v.log() - 0.5,
        ("pq", "paper"): (1 + m**2) / (2 * v) + v.log() / 2 - 0.5,
    }[c.direction, c.variant]
    return kl.mean(), v.sum()


def match(a, b, kind):
    a, b = a.flatten(1), b.flatten(1)
    cosines = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return {
        "cos": 2 - cosines.mean() / a.shape[1],
        "cosine": 1 - cosines.mean(),
        "l1": (a - b).abs().mean(),
        "l2": ((a - b) ** 2).mean(),
    }[kind]


def weights(text):
    steps, rest = text.split(";")
    return int(steps), {k: float(v) for k, v in (pair.split(":") for pair in rest.split(","))}


class Side:
    """One network: a copy of it for each kind of input, with statistics of its own and the same weights."""

    def __init__(self, net):
        self.data, self.fake = copy.deepcopy(net), copy.deepcopy(net)

    def descend(self, loss):
        a, b = list(self.data.parameters()), list(self.fake.parameters())
        gs = torch.autograd.grad(loss, a + b, allow_unused=True)
        with torch.no_grad():
            for p, q, *both in zip(a, b, gs[: len(a)], gs[len(a) :], strict=True):
                p.copy_(p - LR * sum(g for g in both if g is not None))
                q.copy_(p)


def pseudocode(enc, dec, x, draw, c):
    """The release's training step; `draw(n)` gives codes of the prior.  -> terms"""

    def onto(e):
        return e / (e**2).sum(1, keepdim=True) ** 0.5 if c.sphere else e

    (e_steps, w), (g_steps, u) = weights(c.e_updates), weights(c.g_updates)
    parts = e_steps + (g_steps if u.get("match_x") else 0)
    images = list(x.split(len(x) // parts))
    for _ in range(e_steps):
        x = images.pop(0)
        e = onto(enc.data[0](x))
        t = {}
        t["kl_real"], t["spread_real"] = divergence(e, c)
        z = onto(draw(len(x)))
        e_fake = onto(enc.fake[0](dec.fake(z).detach()))
        t["kl_fake"], t["spread_fake"] = divergence(e_fake, c)
        loss = w["KL_real"] * t["kl_real"] - w["KL_fake"] * t["kl_fake"]
        if w.get("match_x"):
            t["rec_x"] = match(dec.data(e), x, c.match_x)
            loss += w["match_x"] * t["rec_x"]
        if w.get("match_z"):
            t["rec_z"] = match(e_fake, z, c.match_z)
            loss += w["match_z"] * t["rec_z"]
        enc.descend(loss)
        t["loss_enc"] = loss
    for _ in range(g_steps):
        z = onto(draw(len(x)))
        e_fake = onto(enc.fake[0](dec.fake(z)))
        t["kl_dec"] = divergence(e_fake, c)[0]
        t["rec_z_dec"] = match(e_fake, z, c.match_z)
        loss = u["KL_fake"] * t["kl_dec"] + u["match_z"] * t["rec_z_dec"]
        if u.get("match_x"):
            x = images.pop(0)
            t["rec_x_dec"] = match(dec.data(onto(enc.data[0](x))), x, c.match_x)
            loss += u["match_x"] * t["rec_x_dec"]
        dec.descend(loss)
        t["loss_dec"] = loss
    return t


def compare(case, steps=2):
    c = config(**CASES[case])
    system = start(c)
    enc, dec = Side(system.enc), Side(system.dec)
    players, noise = system.players(), Noise(7, "cpu")
    given = []
    system.enc.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].requires_grad))
    data = (
        2 * torch.rand(steps, BATCH, *SHAPE, dtype=torch.double, generator=torch.Generator().manual_seed(2))
        - 1
    )
    for k, x in enumerate(data):
        stream = iter(range(99))
        rng = torch.tensor([7, k])

        def draw(n, rng=rng, stream=stream):
            return ops.philox_normal(rng, n, c.z_dim, stream=next(stream), dtype=torch.double)

        terms = system.step(x, noise.at(k), kimg=0.0, **players)
        want = pseudocode(enc, dec, x, draw, c)
        assert not any(t.requires_grad for t in terms.values())
        same(terms, {name: want[name].detach() for name in terms if name in want})
        assert terms.keys() == want.keys()
        for net, side in ((system.enc, enc), (system.dec, dec)):
            same(list(net.parameters()), list(side.data.parameters()))
        same(statistics(system.enc), statistics(enc.data))
        apart = "match_x:0.9" in c.e_updates
        same(statistics(system.dec), statistics(dec.data if apart else dec.fake))
        if apart:
            same(statistics(system.dec_prior), statistics(dec.fake))
    assert given[:2] == [False, False]  # images, and samples without G's graph


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    compare(case)


def compare_schedule():
    """At the start of epoch t, halved if t mod drop_lr is drop_lr - 1."""
    system = start(config())
    lr = 1.0
    for t in range(10):
        lr *= 0.5 if t % 3 == 2 else 1
        assert system.lr_scale(t * 0.05) == system.lr_scale((t + 0.98) * 0.05) == lr
    assert start(config(drop_lr=0)).lr_scale(100.0) == 1


def test_schedule():
    compare_schedule()
    system = age.build(age.PRESETS["cifar10"].config, (3, 32, 32))
    got = [system.lr_scale(t * 49.984) for t in (0, 38, 39, 78, 79, 118, 119, 149)]
    assert got == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


METHODS = (
    "step", "encoder_loss", "generator_loss", "divergence", "prior", "encode_sample", "lr_scale",
)  # fmt: skip
EXCHANGED = {
    "kl_real": ["kl_fake"], "kl_fake": ["kl_real"], "spread_real": ["spread_fake"], "match_x": ["match_z"],
    "match_z": ["match_x"], "e": ["g", "e_p"], "e_p": ["e"], "g": ["e"], "enc": ["dec"], "dec": ["enc"],
    "loss_enc": ["loss_dec"], "loss_dec": ["loss_enc"], "x": ["x_p"], "x_p": ["x"], "onto": ["enc"],
    '"official"': ['"paper"'], '"published"': ['"correct"'], "encode_sample": ["enc"], "generate": ["dec"],
    "epoch": ["drop_lr"], "drop_lr": ["epoch"],
}  # fmt: skip
GRAPHS = {"loss_enc", "loss_dec", "loss", "e", "e_p", "kl", "kl_real", "kl_fake"}
LEAVES = ["lr_scale", "prior"]
MUTANTS = mutants(age, METHODS, exchanged=EXCHANGED, graphs=GRAPHS, leaves=LEAVES)


def test_every_mutant_is_caught(monkeypatch):
    descend_plainly(monkeypatch)
    assert kinds(MUTANTS) >= {"- -> +", "* -> /", "kl_real -> kl_fake", "e -> e.detach()", "0.5 -> 2 * 0.5"}
    assert len(MUTANTS) > 80
    alive = survivors(MUTANTS, [*each(lambda case: compare(case, 1), CASES), compare_schedule])
    told = [name for name in alive if "terms" in name]  # what is only logged has no gradient to lose
    assert alive == told and len(told) == 3


@pytest.mark.parametrize("z_dim, official, correct", [(128, 4.35206, 1.92992), (64, 3.65901, 1.58725)])
def test_divergence_of_uniform_codes(z_dim, official, correct):
    """m = 0 and v = 1 / Z: the least that codes on the sphere reach, and not 0."""
    half = torch.linalg.qr(torch.randn(z_dim, z_dim, dtype=torch.double))[0]  # v = 1 / Z in each dimension
    codes = torch.cat([half, -half])
    for variant, value in (("official", official), ("paper", correct)):
        system = age.build(config(variant=variant), SHAPE)
        kl, spread = system.divergence(codes)
        assert float(kl) == pytest.approx(value, abs=1e-5) and float(spread) == pytest.approx(1)
    z = age.build(config(z_dim=z_dim), SHAPE).prior(5, Noise(0, "cpu").at(0))
    assert float(ops.latent_match(z, 3 * z, age.Config().match_z)) == pytest.approx(2 - 1 / z_dim, abs=1e-6)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(5))


def layers(net, shape):
    """(kind, kernel, stride, channels, side, bias) of each convolution, and what follows it."""
    rows, x = [], torch.empty(shape, device="meta")
    for layer in net:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kind = "T" if isinstance(layer, nn.ConvTranspose2d) else ""
            size = f"{layer.out_channels}x{x.shape[-1]}"
            rows.append(f"k{layer.kernel_size[0]}{kind} s{layer.stride[0]} {size}")
            rows[-1] += " bias" if layer.bias is not None else ""
        elif not isinstance(layer, nn.Flatten | nn.Unflatten):
            rows[-1] += f" {type(layer).__name__}"
    return rows, x.shape


ENCODERS = {
    32: [
        "k4 s2 64x16 LeakyReLU", "k4 s2 128x8 BatchNorm2d LeakyReLU", "k4 s2 256x4 BatchNorm2d LeakyReLU",
        "k4 s2 128x2 bias AvgPool2d",
    ],
    64: [
        "k4 s2 64x32 LeakyReLU", "k4 s2 128x16 BatchNorm2d LeakyReLU", "k4 s2 256x8 BatchNorm2d LeakyReLU",
        "k4 s2 512x4 BatchNorm2d LeakyReLU", "k4 s1 64x1 bias",
    ],
}  # fmt: skip
GENERATORS = {
    32: [
        "k4T s1 512x4 BatchNorm2d ReLU", "k4T s2 256x8 BatchNorm2d ReLU", "k4T s2 128x16 BatchNorm2d ReLU",
        "k4T s2 128x32 BatchNorm2d ReLU", "k1 s1 3x32 bias Tanh",
    ],
    64: [
        "k4T s1 512x4 BatchNorm2d ReLU", "k4T s2 256x8 BatchNorm2d ReLU", "k4T s2 128x16 BatchNorm2d ReLU",
        "k4T s2 64x32 BatchNorm2d ReLU", "k4T s2 3x64 Tanh",
    ],
}  # fmt: skip


@pytest.mark.parametrize("side, z_dim, millions", [(32, 128, (1.18, 3.93)), (64, 64, (3.28, 3.28))])
def test_networks_are_the_authors(side, z_dim, millions):
    with torch.device("meta"):
        enc, dec = nets.age_encoder(side, 64, z_dim), nets.age_generator(side, 64, z_dim)
    assert layers(enc, (2, 3, side, side)) == (ENCODERS[side], (2, z_dim))
    assert layers(dec, (2, z_dim)) == (GENERATORS[side], (2, 3, side, side))
    assert tuple(round(sum(p.numel() for p in net.parameters()) / 1e6, 2) for net in (enc, dec)) == millions
    assert all(m.negative_slope == 0.2 for m in enc if isinstance(m, nn.LeakyReLU))


def test_initial_weights():
    torch.manual_seed(0)
    for net in (nets.age_encoder(32, 16, 8), nets.age_generator(32, 16, 8)):
        for m in net:
            if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.weight.numel() > 2000:
                assert float(m.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
            if isinstance(m, nn.BatchNorm2d):
                assert float((m.weight.detach() - 1).abs().max()) < 0.1 and m.weight.std() > 0.01
                assert not m.bias.any()


def test_native_kernels_train_as_the_reference_does():
    """Fifty steps, parameters equal to rounding."""
    ends = []
    for backend in ("reference", "auto"):
        torch.manual_seed(0)
        system = age.build(config(lr=1e-3), (1, 32, 32)).double()
        players, noise = system.players(), Noise(0, "cpu")
        x = torch.rand(50, 6, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.double)
        with ops.use_backend(backend):
            for k in range(50):
                system.step(2 * x[k] - 1, noise.at(k), kimg=0.0, **players)
        ends.append(torch.cat([p.detach().flatten() for p in system.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-4)


def test_presets_are_the_published_settings():
    def row(name):
        p = age.PRESETS[name]
        c = p.config
        return c.e_updates, c.g_updates, c.z_dim, p.batch, p.size, c.drop_lr, round(1000 * p.kimg / c.epoch)

    e = "1;KL_fake:1,KL_real:1,match_z:0,match_x:10"
    g = "{};KL_fake:1,match_z:{},match_x:0"
    assert row("cifar10") == (e, g.format(2, 1000), 128, 64, 32, 40, 150)
    assert row("imagenet32") == (e, g.format(2, 2000), 128, 64, 32, 3, 6)
    assert row("celeba") == (e, g.format(3, 1000), 64, 64, 64, 5, 5)
    fine = e.replace("x:10", "x:15")
    assert row("celeba-second") == (fine, g.format(3, 1000), 64, 256, 64, 0, 1)
    assert row("svhn")[2:5] == (64, 64, 32)
    c = age.Config()
    assert (c.lr, c.width, c.match_x, c.match_z, c.variant, c.direction) == (
        2e-4, 64, "l1", "cos", "official", "qp",
    )  # fmt: skip
    adam = age.build(c, (3, 32, 32)).players()["dec"].opt
    assert adam.defaults["betas"] == (0.5, 0.999)


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        ({}, (3, 28, 28), r"must be 32 x 32 or 64 x 64, got 28 x 28. Resize them to 32 or 64"),
        ({}, (3, 32, 64), r"got 32 x 64"),
        ({}, (0, 32, 32), r"one channel or more, got \(0, 32, 32\)"),
        ({"width": 0}, SHAPE, "width must be positive, got 0"),
        ({"z_dim": 0}, SHAPE, "z_dim must be positive, got 0"),
        ({"lr": float("nan")}, SHAPE, "lr must not be negative, got nan"),
        ({"epoch": 0}, SHAPE, "epoch, a number of images, must be positive, got 0"),
        ({"drop_lr": -1}, SHAPE, "drop_lr must not be negative, got -1"),
        ({"variant": "code"}, SHAPE, "'official' or 'paper', got 'code'"),
        ({"direction": "kl"}, SHAPE, "'qp' or 'pq', got 'kl'"),
        ({"match_z": "L2"}, SHAPE, "match_z must be one of cos, cosine, l1, l2, got 'L2'"),
        ({"e_updates": "KL_fake:1"}, SHAPE, "e_updates must be like '2;KL_fake:1,KL_real:1,.*'KL_fake:1'"),
        ({"e_updates": "1;KL_fake=1"}, SHAPE, "e_updates must be like"),
        ({"g_updates": "2;KL_real:1"}, SHAPE, "g_updates .*: no term KL_real"),
        ({"g_updates": "0;KL_fake:1"}, SHAPE, "one inner step or more"),
        ({"g_updates": "1;KL_fake:1,KL_fake:2"}, SHAPE, "each term once"),
        ({"g_updates": "1;KL_fake:-1"}, SHAPE, "weights not negative"),
        ({"g_updates": "1;KL_fake:nan"}, SHAPE, "weights not negative"),
    ],
)  # fmt: skip
def test_what_it_cannot_take_is_refused_before_training(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        age.build(config(**changes), shape)
