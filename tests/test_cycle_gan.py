"""CycleGAN's step against its pseudocode, its settings, and what it refuses."""

import pytest
from step_comparison import compare, descend, descend_plainly
from step_mutants import each, mutants, survivors

from bigan.systems import cycle_gan


def config(**changes):
    base = dict(channels=(2, 2), code_critic=(3,), z_dim=3, w_cycle=1.7, lr=0.05)
    return cycle_gan.Config(**{**base, **changes})


def pseudocode(nets, x, draw, c):
    """Zhu et al.: optimize_parameters of the authors' cycle_gan_model.py, the second domain being codes."""
    E, G, DX, DZ = (nets[name] for name in ("enc", "dec", "critic", "code_critic"))
    z = draw(3)
    e = E(x)
    x_p, x_r = G(z, kind="prior"), G(e)
    z_r = E(x_p, kind="none")
    cycle = (x_r - x).abs().mean() + (z_r - z).abs().mean()
    loss_eg = ((DX(x_p) - 1) ** 2).mean() + ((DZ(e) - 1) ** 2).mean() + c.w_cycle * cycle
    d_x = 0.5 * (((DX(x) - 1) ** 2).mean() + (DX(x_p) ** 2).mean())
    d_z = 0.5 * (((DZ(z) - 1) ** 2).mean() + (DZ(e) ** 2).mean())
    right = [
        ((D(real) > 0.5).double().mean() + (D(fake) < 0.5).double().mean()) / 2
        for D, real, fake in ((DX, x, x_p), (DZ, z, e))
    ]
    descend(loss_eg, E, G)
    descend(d_x, DX)
    descend(d_z, DZ)
    terms = {"loss_d": d_x + d_z, "loss_eg": loss_eg, "cycle": cycle}
    return {**terms, "right_x": right[0], "right_z": right[1]}


def run(steps=1):
    compare(cycle_gan, pseudocode, config(), steps=steps, shape=(1, 8, 8))


def test_step_is_the_pseudocode(monkeypatch):
    descend_plainly(monkeypatch)
    run(steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        cycle_gan, ("step",),
        exchanged={
            "x_p": ["x_r"], "x_r": ["x_p"], "z": ["e"], "e": ["z"], "z_r": ["e"], "enc": ["dec"],
            "dec": ["enc"], "generate": ["dec"], "g_x": ["g_z"], "g_z": ["g_x"], "d_x": ["d_z"],
            "d_z": ["d_x"], "loss_d": ["loss_eg"], "loss_eg": ["loss_d"], "gen": ["critic"],
            "critic": ["code_critic"], "code_critic": ["critic"], "right_x": ["right_z"],
            '"least_squares"': ['"logistic"'], '"l1"': ['"l2"'],
        },
        graphs={"x_r", "z_r", "x_p", "e", "g_x", "g_z", "cycle", "d_x", "d_z"},
    )  # fmt: skip
    assert len(found) > 50
    assert survivors(found, each(lambda _: run(), [None])) == []


def test_settings_are_the_published_ones():
    c = cycle_gan.Config()
    assert (c.w_cycle, c.lr, c.beta1) == (10.0, 2e-4, 0.5)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(w_cycle=-1.0), "cycle_gan: w_cycle must not be negative, got -1.0"),
        (dict(channels=(4, 4, 4)), "cycle_gan: 3 channels .* halve the side 3 times"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        cycle_gan.build(config(**changes), (1, 8, 8))
