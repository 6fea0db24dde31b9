"""PAGAN's step against its pseudocode, its networks' numbers, its settings, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from step_comparison import SEED, compare, descend, descend_plainly, kl, sp
from step_mutants import each, mutants, survivors

from bigan import ops
from bigan.engine.noise import Noise
from bigan.nets import pagan as nets_pagan
from bigan.systems import pagan

SHAPE = (2, 8, 8)
CASES = {
    "augmented": dict(pad=2),
    "identical": dict(pairs="identical"),
    "l1": dict(pairs="l1", w_l1=1.7),
    "blur": dict(pad=0, blur=3),
    "contrast": dict(pad=0, contrast=0.4),
    "encoder's spectral norm": dict(enc_norm="spectral"),
}


def config(**changes):
    return pagan.Config(**{**dict(channels=(2, 3), z_dim=3, hidden=(4, 3), pad=1, lr=0.05), **changes})


def augmentation(x, c, k):
    """a(x), image by image; the third draw of the step."""
    how = dict(pad=c.pad, sigma=(0.1, 2.0), contrast=(1 - c.contrast, 1 + c.contrast))
    draw = ops.augment_draw(torch.tensor([SEED, k]), len(x), stream=2, **how)
    images = []
    for i, image in enumerate(x):
        y = image[None]
        if c.pad:
            dy, dx = draw.offset[i].tolist()
            padded = F.pad(y, [c.pad] * 4, mode="reflect")
            y = padded[:, :, dy : dy + y.shape[2], dx : dx + y.shape[3]]
        if c.blur > 1:
            t = torch.arange(c.blur, dtype=x.dtype) - c.blur // 2
            w = (-(t**2) / (2 * draw.sigma[i].double() ** 2)).exp()
            kernel = (w[:, None] * w / w.sum() ** 2).expand(y.shape[1], 1, -1, -1)
            y = F.conv2d(F.pad(y, [c.blur // 2] * 4, mode="reflect"), kernel, groups=y.shape[1])
        if c.contrast:
            f = draw.contrast[i].double()
            y = f * y + (1 - f) * y.mean((1, 2, 3), keepdim=True)
        images.append(y)
    return torch.cat(images)


def pseudocode(n, x, draw, c, steps):
    z, eps = draw(c.z_dim), draw(c.z_dim)
    mu, logvar = n["enc"](x).chunk(2, dim=1)
    z_r = mu + (logvar / 2).exp() * eps
    x_p, x_r = n["dec"](z, kind="prior"), n["dec"](z_r)
    a_real, a_fake = n["critic_x"](x), n["critic_x"](x_p)
    b_real, b_fake = n["critic_z"](z), n["critic_z"](z_r)
    loss_dx = sp(-a_real).mean() + sp(a_fake).mean()
    loss_dz = sp(-b_real).mean() + sp(b_fake).mean()
    if c.pairs == "l1":
        loss_dxx, fool = torch.zeros((), dtype=x.dtype), c.w_l1 * (x_r - x).abs().mean()
    else:
        second = x if c.pairs == "identical" else augmentation(x, c, next(steps))
        c_real = n["critic_xx"](torch.cat([x, second], dim=3))
        c_fake = n["critic_xx"](torch.cat([x, x_r], dim=3))
        loss_dxx, fool = sp(-c_real).mean() + sp(c_fake).mean(), sp(-c_fake).mean()
    loss_g = sp(-a_fake).mean() + fool
    loss_e = sp(-b_fake).mean() + fool

    descend(loss_dx, n["critic_x"])
    descend(loss_dz, n["critic_z"])
    if c.pairs != "l1":
        descend(loss_dxx, n["critic_xx"])
    descend(loss_g, n["dec"])
    descend(loss_e, n["enc"])
    right = [((real > 0).double().mean() + (fake < 0).double().mean()) / 2
             for real, fake in ((a_real, a_fake), (b_real, b_fake))]  # fmt: skip
    return dict(
        loss_dx=loss_dx, loss_dz=loss_dz, loss_dxx=loss_dxx, loss_g=loss_g, loss_e=loss_e,
        kl=kl(mu, logvar).mean(), right_x=right[0], right_z=right[1],
    )  # fmt: skip


def run(case, steps=1):
    counter = iter(range(steps))
    compare(pagan, lambda *a: pseudocode(*a, counter), config(**CASES[case]), steps=steps, shape=SHAPE)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


METHODS = ("step", "pair_losses", "augmented", "posterior")
MUTANTS = mutants(
    pagan, METHODS,
    exchanged={
        "x_r": ["x_p"], "x_p": ["x_r"], "z": ["z_r"], "z_r": ["z"], "d_x": ["d_z"], "d_z": ["d_xx"],
        "d_xx": ["d_x"], "g_x": ["g_z"], "g_z": ["g_x"], "g_xx": ["g_x"], "real": ["fake"], "fake": ["real"],
        "enc": ["dec"], "dec": ["enc"], "critic": ["dec"], "critic_x": ["critic_z"], "mu": ["logvar"],
        "logvar": ["mu"], "right_x": ["right_z"], "right_z": ["right_x"],
        '"l1"': ['"l2"'], '"mean"': ['"sum"'], '"augmented"': ['"identical"'], '"width"': ['"channels"'],
    },
    graphs={"x_p", "x_r", "z_r", "d_x", "d_z", "d_xx", "g_x", "g_z", "g_xx", "fake", "mu", "logvar"},
)  # fmt: skip


@pytest.mark.parametrize("function", METHODS)
def test_every_token_of_the_step_matters(function, monkeypatch):
    descend_plainly(monkeypatch)
    found = [m for m in MUTANTS if m.function == function]
    assert survivors(found, each(run, CASES)) == []


def test_sizes_are_the_librarys():
    """Spec 5.1, in millions."""
    with torch.device("meta"):
        system = pagan.build(pagan.Config(), (3, 32, 32))
    names = ("enc", "dec", "critic_x", "critic_xx")
    counts = [round(sum(p.numel() for p in getattr(system, n).parameters()) / 1e6, 2) for n in names]
    assert counts == [7.95, 3.83, 5.86, 5.87]
    net = nets_pagan.features((3, 32, 64), (2, 3, 4, 5), 1, batch_norm=False)
    shapes = []
    for layer in net:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, i, y: shapes.append(tuple(y.shape[1:])))
    assert net(torch.randn(2, 3, 32, 64)).shape == (2, 1)
    sides = [(32, 64), (16, 32), (16, 32), (8, 16), (8, 16), (4, 8), (4, 8)]
    assert shapes == [(w, *s) for w, s in zip((2, 3, 3, 4, 4, 5, 5), sides, strict=True)]


def test_losses_of_critics_that_know_nothing():
    """Spec 10: 2 ln 2 each at zero logits, ln 2 for each generator term."""
    system = pagan.build(config(), SHAPE)
    for critic in (system.critic_x, system.critic_z, system.critic_xx):
        critic.net[-1].bias.data.zero_()
        critic.net[-1].register_forward_hook(lambda _, i, y: 0 * y)
    terms = system.step(torch.rand(4, *SHAPE), Noise(0, "cpu").at(0), kimg=0.0, **system.players())
    for name in ("loss_dx", "loss_dz", "loss_dxx", "loss_g", "loss_e"):
        torch.testing.assert_close(terms[name], torch.tensor(1.38629), rtol=1e-5, atol=0)


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
def test_the_encoder_s_start_and_the_step_sizes(norm):
    system = pagan.build(config(sigma=0.1, lr_enc=0.01, lr_critic=0.02, enc_norm=norm), SHAPE).eval()
    mu, logvar = system.posterior(torch.rand(5, *SHAPE))
    assert (0.5 * logvar).exp().sub(0.1).abs().max() < 0.03 and mu.abs().max() < 0.5
    assert {name: p.lr for name, p in system.players().items()} == {"enc": 0.01, "dec": 0.05, "critic": 0.02}
    first = pagan.build(config(enc_norm=norm), SHAPE).enc.state_dict()  # the published start
    assert not [t for name, t in first.items() if name.endswith("bias") and t.any()]


def test_settings_are_the_published_ones():
    c, p = pagan.Config(), pagan.PRESETS["cifar10"]
    assert (c.z_dim, c.hidden, c.pad, c.lr, c.beta1) == (128, (512, 256), 3, 2e-4, 0.5)
    assert (c.sigma, c.lr_enc, c.lr_critic) == (1.0, 0.0, 0.0)  # one step size for all
    assert (p.batch, p.kimg, p.size) == (64, 6400, 32)
    pads = [pagan.PRESETS[f"pad-{f}"].config.pad for f in ("0", "0.05", "0.1", "0.15", "0.2")]
    assert pads == [int(32 * f) for f in (0, 0.05, 0.1, 0.15, 0.2)]


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        (dict(channels=(2, 2, 2, 2)), (3, 28, 28), r"pagan: 4 channels .* halve the side 3 times.* side 28"),
        (dict(sigma=0.0), SHAPE, "pagan: sigma must be positive, got 0.0"),
        (dict(pad=8), SHAPE, "pagan: pad must be less than the side, 8, got 8"),
        (dict(pad=-1), SHAPE, "pagan: pad must not be negative, got -1"),
        (dict(blur=4), SHAPE, "pagan: blur must be odd, got 4"),
        (dict(contrast=1.5), SHAPE, "pagan: contrast must be at most 1, got 1.5"),
        (dict(channels=(4,)), SHAPE, r"pagan: channels must be two or more widths, got \(4,\)"),
        (dict(pairs="none"), SHAPE, "pagan: pairs must be 'augmented' or 'identical' or 'l1', got 'none'"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        pagan.build(config(**changes), shape)
