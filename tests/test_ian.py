"""IAN's step against its pseudocode, its networks' numbers, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp
from step_mutants import each, mutants, survivors

from bigan.engine.noise import Noise
from bigan.nets import ian as nets_ian
from bigan.systems import ian

SHAPE = (2, 16, 16)
EVEN, ODD = 0.024, 0.012  # kimg before step 6 and before step 3, of four images each
CASES = {
    "decoder's turn": (EVEN, dict()),
    "critic's turn": (ODD, dict()),
    "simultaneous": (ODD, dict(updates="simultaneous")),
    "simple": (EVEN, dict(networks="simple", flow=False, loss="binary")),
    "v1": (ODD, dict(networks="v1", loss="binary")),
}


def config(**changes):
    weights = dict(w_pixel=1.7, w_feature=0.6, w_kl=0.8, w_ortho=0.03, w_l2=0.02, lr=0.05)
    sizes = dict(channels=(2, 3, 2), z_dim=3, head=4, kernels=3, kernel_dims=2)
    return ian.Config(**{**sizes, **weights, **changes})


def ce(logits, label):
    return (torch.logsumexp(logits, 1) - logits[:, label]).mean()


def rows_of_filters(net):
    """The orthogonal penalty, filter by filter."""
    total = 0
    for w in net.params.values():
        for one in w if w.ndim == 4 else ():
            rows = one.transpose(0, 1).flatten(1)  # [h, c w]
            total = total + (rows @ rows.T - torch.eye(len(rows), dtype=w.dtype)).abs().sum()
    return total


def pseudocode(networks, x, draw, c, kimg):
    T, H, C, G, flow = (networks[name] for name in ("trunk", "head", "critic", "dec", "flow"))
    f = T(x)
    mu, ls = H(f[-1])
    x_r = G(flow(mu + ls.exp() * draw(c.z_dim)))
    x_p = G(flow(draw(c.z_dim)), kind="prior")
    f_r, f_p, f_stopped = (T(fake, kind="none") for fake in (x_r, x_p, x_r.detach()))
    real, rec, gen, rec_stopped = (C(maps[-1]) for maps in (f, f_r, f_p, f_stopped))

    if c.loss == "ternary":
        loss_d = ce(real, 0) + ce(rec_stopped, 1) + ce(gen, 2)
        adv = ce(rec, 0) + ce(gen, 0)
        right = [(t.argmax(1) == k).double().mean() for k, t in enumerate((real, rec, gen))]
    else:
        loss_d = sp(-real).mean() + sp(rec_stopped).mean() + sp(gen).mean()
        adv = sp(-rec).mean() + sp(-gen).mean()
        right = [(t > 0).double().mean() for t in (real, -rec, -gen)]
    loss_d = loss_d + c.w_ortho * rows_of_filters(T)
    pixel = (2 * (x_r - x).abs()).mean()
    feature = sum(((a - b) ** 2).mean() for a, b in zip(f_r, f, strict=True)) / len(f)
    kl = -0.5 * (1 + 2 * ls - mu**2 - (2 * ls).exp()).mean()
    squares = sum((p**2).sum() for name, p in H.params.items() if name.endswith("weight"))
    both = adv + c.w_pixel * pixel + c.w_feature * feature
    loss_g = both + c.w_ortho * rows_of_filters(G)
    loss_z = both + c.w_kl * kl + c.w_l2 * squares

    turn = "GD" if c.updates == "simultaneous" else "G" if kimg == EVEN else "D"
    descend(loss_z, H)
    if "G" in turn:
        descend(loss_g, G)
    if "D" in turn:
        descend(loss_d, T, C)
    terms = dict(loss_d=loss_d, loss_g=loss_g, loss_z=loss_z, adv=adv, pixel=pixel, feature=feature, kl=kl)
    return terms | dict(zip(("right_real", "right_rec", "right_gen"), right, strict=True))


def run(case, steps=1):
    kimg, changes = CASES[case]
    compare(ian, lambda *a: pseudocode(*a, kimg), config(**changes), kimg=kimg, steps=steps, shape=SHAPE)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


METHODS = ("step", "adversarial", "decode")
MUTANTS = mutants(
    ian, METHODS,
    exchanged={
        "w_pixel": ["w_feature"], "w_feature": ["w_kl"], "w_kl": ["w_l2"], "w_l2": ["w_ortho"],
        "w_ortho": ["w_l2"], "x_r": ["x_p"], "x_p": ["x_r"], "f_r": ["f_p"], "f_p": ["f_r"],
        "loss_d": ["loss_g"], "loss_g": ["loss_z"], "loss_z": ["loss_g"], "loss_gz": ["loss_g", "loss_z"],
        "own_dec": ["own_head"], "own_head": ["own_dec"], "both": ["adv"], "pixel": ["feature"],
        "feature": ["pixel"], "kl": ["pixel"], "rec": ["gen"], "gen": ["rec"], "right": ["right_gen"],
        "right_rec": ["right_real"],
        "critic": ["dec"], "dec": ["head"], "head": ["dec"], "trunk": ["dec"],
        '"l1"': ['"l2"'], '"mean"': ['"sum"'], '"simultaneous"': ['"alternating"'], '"ternary"': ['"binary"'],
    },
    graphs={
        "x_r", "x_p", "z", "kl", "both", "adv", "pixel", "own_dec", "own_head", "loss_d", "loss_gz", "real",
        "rec", "gen", "d_rec", "d_gen", "a_rec", "a_gen",
    },
)  # fmt: skip


EQUIVALENT = [
    "% 2 == 0: :: 57: 2 -> 2 * 2",  # (n % 2) * 2 is 0 where n % 2 is
    "(real[:0], gen) :: 55: real -> real.detach()",  # nothing of it is used
]


@pytest.mark.parametrize("function", METHODS)
def test_every_token_of_the_step_matters(function, monkeypatch):
    descend_plainly(monkeypatch)
    found = [m for m in MUTANTS if m.function == function]
    alive = survivors(found, each(run, CASES))
    assert [name for name in alive if not name.endswith(tuple(EQUIVALENT))] == []


def test_sizes_are_the_authors():
    """Spec 1.1, in millions."""
    with torch.device("meta"):
        system = ian.build(ian.Config(), (3, 64, 64))
    parts = [system.trunk, system.critic[2], system.critic[3], system.head, system.dec]
    counts = [round(sum(p.numel() for p in part.parameters()) / 1e6, 2) for part in parts]
    assert counts == [17.22, 2.56, 0.0, 16.59, 18.1]
    assert sum(p.numel() for p in system.critic[3].parameters()) == 3 * 1524
    assert not list(system.flow.parameters()) and sum(b.numel() for b in system.flow.buffers()) == 60_000
    x = torch.empty(2, 3, 64, 64, device="meta")
    assert [tuple(m.shape[1:]) for m in system.trunk(x)] == [
        (128, 32, 32), (256, 16, 16), (512, 8, 8), (1024, 4, 4)
    ]  # fmt: skip
    for networks in ("full", "v1", "simple"):
        with torch.device("meta"):
            dec = nets_ian.decoder(networks, 100, (128, 256, 512, 1024), (3, 64, 64))
        assert dec(torch.empty(2, 100, device="meta")).shape == x.shape


def test_losses_of_a_critic_that_knows_nothing():
    """Spec 10: L_D = 3 ln 3 and A = 2 ln 3 at uniform softmax."""
    system = ian.build(config(w_ortho=0.0), SHAPE)
    torch.nn.init.zeros_(system.critic[3].weight)
    terms = system.step(torch.rand(4, *SHAPE), Noise(0, "cpu").at(0), kimg=0.0, **system.players())
    torch.testing.assert_close(terms["loss_d"], torch.tensor(3.29584), rtol=1e-5, atol=0)
    torch.testing.assert_close(terms["adv"], torch.tensor(2.19722), rtol=1e-5, atol=0)


def test_flow_is_autoregressive_and_inverts():
    torch.manual_seed(0)
    flow = nets_ian.InverseAutoregressiveFlow(7).double()
    z = torch.randn(7, dtype=torch.double)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v[None])[0], z)
    order = (flow.shift.direct != 0).sum(1).argsort()  # the first sees nobody
    triangle = jacobian[order][:, order]
    assert torch.equal(triangle, triangle.tril()) and (triangle.diagonal() > 0).all()
    assert (triangle.tril(-1) != 0).float().sum() > 10


def test_multiscale_convolution_is_a_sum_of_dilated_ones():
    torch.manual_seed(0)
    layer = nets_ian.MultiscaleConv(2, 3, (0, 1, 2)).double()
    assert (layer.coefficients - 1 / 3).abs().max() < 1e-6
    torch.nn.init.normal_(layer.coefficients)
    h = torch.randn(1, 2, 9, 9, dtype=torch.double)
    y = layer(h)[0, :, 4, 4]
    for o in range(3):
        w, c = layer.weight[o], layer.coefficients[:, o]
        near, far = h[0, :, 3:6, 3:6], h[0, :, 2:7:2, 2:7:2]
        point = (w.mean((1, 2)) * h[0, :, 4, 4]).sum()
        torch.testing.assert_close(y[o], c[0] * point + c[1] * (w * near).sum() + c[2] * (w * far).sum())


def test_colours_follow_one_another():
    torch.manual_seed(0)
    head = nets_ian.BetaColors(2, 3).double()
    h = torch.randn(1, 2, 5, 5, dtype=torch.double)
    x = head(h)
    assert x.abs().max() < 1
    torch.nn.init.normal_(head.of_colors[0].weight)
    y = head(h)
    assert torch.equal(x[:, 0], y[:, 0]) and not torch.equal(x[:, 1], y[:, 1])


def test_settings_are_the_published_ones():
    c = ian.Config()
    assert (c.w_pixel, c.w_feature, c.w_kl, c.w_ortho, c.w_l2, c.lr) == (3, 1, 1, 1e-3, 1e-5, 2e-4)
    assert (c.z_dim, c.kernels, c.kernel_dims, c.head) == (100, 500, 5, 1000)
    rows = {name: (p.batch, p.size, p.config.loss, p.config.flow) for name, p in ian.PRESETS.items()}
    assert rows["celeba"] == (16, 64, "ternary", True) and rows["v1"] == (16, 64, "binary", True)
    assert rows["simple"] == (128, 64, "binary", False)
    system = ian.build(config(), SHAPE)
    factors = [system.lr_scale(epoch * ian.EPOCH) for epoch in (0, 24.9, 25, 50, 75, 80)]
    assert factors == [1.0, 1.0, 0.5, 0.25, 0.05, 0.05]
    assert all(player.opt.defaults["betas"] == (0.5, 0.999) for player in system.players().values())


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        (dict(channels=(2, 2, 2)), (3, 28, 28), r"ian: 3 channels .* side 28"),
        (dict(kernels=0), SHAPE, "ian: kernels must be positive, got 0"),
        (dict(w_pixel=-1.0), SHAPE, "ian: w_pixel must not be negative, got -1.0"),
        (dict(lr_at=(1.0,), lr_factors=()), SHAPE, "ian: lr_at and lr_factors must be as many"),
        (dict(networks="v2"), SHAPE, "ian: networks must be 'full' or 'v1' or 'simple', got 'v2'"),
        ({}, (3, 8, 16), "ian: images must be squares"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        ian.build(config(**changes), shape)
