"""S-VAE: Symmetric Variational Autoencoder and Connections to Adversarial Learning, and S-VAE-r.

Chen, Dai, Pu, Zhou, Li, Su, Chen & Carin 2018, arXiv:1709.01846.

Encoder and decoder make pairs, (x, e) with e ~ q(z|x) = N(mu(x), sigma(x)^2) and (x_p, z) with x_p = G(z), and
lower the symmetric divergence of their joint distributions, KL(q || p) + KL(p || q). A critic f(x, z) learns
what that needs, log p(x, z) - log q(x, z), by telling the pairs apart (the decoder's is the one labelled 1).
sp(t) = ln(1 + exp(t)), every term a batch mean:

    L_f  = sp(-f(x_p, z)) + sp(f(x, e))
    L_EG = f(x_p, z) - f(x, e) + w_rec (1/2 ||x - G(e)||^2 - log q(z|x_p))

So E and G see the log-ratio itself, where ALI's lower a sigmoid's logarithm. w_rec = 0 is S-VAE; more is
S-VAE-r, whose last terms are negative log-likelihoods, without their constants: sums over pixels, and over the
code. All networks move at once.

Only the paper's abstract could be read: the losses are from memory and from a port by others, the sizes, w_rec
and the step size are chosen here. Noise enters the encoder at its end, and the decoder not at all.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import (
    GaussianEncoder,
    Player,
    Preset,
    adams,
    arg,
    detached,
    gaussian_nll,
    minimize_at_once,
    need_sane,
)


@dataclass(frozen=True)
class Config:
    channels: tuple[int, ...] = arg((64, 128, 256), "widths of the convolutions, nearest the image first")
    hidden: tuple[int, ...] = arg((512, 512), "widths of the critic's fully connected layers")
    norm: Literal["batch", "none"] = arg("batch", "normalisation of the critic; E and G have batch's")
    z_dim: int = arg(128, "size of the code")
    w_rec: float = arg(0.0, "weight of both log-likelihoods, the paper's lambda; 0: S-VAE, more: S-VAE-r")
    lr: float = arg(1e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class SVAE(GaussianEncoder):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("svae", c, image_shape, c.channels)
        self.enc = dcgan.encoder(image_shape, c.channels, 2 * c.z_dim)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.critic = nets.JointCritic(image_shape, c.channels, c.z_dim, c.hidden, norm=c.norm)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        return adams(self.config, gen=[self.enc, self.dec], critic=self.critic)

    def step(self, x: Tensor, noise, *, kimg: float, gen: Player, critic: Player) -> dict[str, Tensor]:
        z = self.prior(len(x), noise)
        e, kl = ops.reparam_kl(*self.posterior(x), **noise.draw(len(x)), reduction="mean")
        x_p = self.dec(z)
        p, q = self.critic(x_p, z), self.critic(x, e)  # f: [B, 1], [B, 1]
        loss_f, _, (right_p, right_q) = ops.logistic_adversarial(p, q)  # eq. L_f
        loss_eg = p.mean() - q.mean()  # eq. symmetric KL
        if self.config.w_rec:
            nll_x = ops.feature_l2(self.dec(e), x, 0.5, reduction="batchmean")[0]  # eq. -log p(x given z)
            with nets.untracked(self.enc):
                nll_z = gaussian_nll(z, *self.posterior(x_p))  # eq. -log q(z given x)
            loss_eg = loss_eg + self.config.w_rec * (nll_x + nll_z)
        minimize_at_once((gen, loss_eg), (critic, loss_f))
        return detached(loss_f=loss_f, loss_eg=loss_eg, kl=kl, right_p=right_p, right_q=right_q)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = SVAE

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (128,), z_dim=16, w_rec=0.03, lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0075 after 10 kimg, 0.0071 at the end",
    ),
    "cifar10": Preset(Config(), batch=64, kimg=6400, size=32, note="not yet run; not the paper's sizes"),
    "cifar10-r": Preset(
        Config(w_rec=0.01), batch=64, kimg=6400, size=32, note="not yet run; not the paper's sizes"
    ),
}  # fmt: skip
