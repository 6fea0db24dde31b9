"""AS-VAE: Adversarial Symmetric Variational Autoencoder.

Pu, Wang, Henao, Chen, Gan, Li & Carin 2017, arXiv:1711.04915.

Two evidence bounds are raised at once: the VAE's, of images, and the same with the parts of image and code
exchanged, of codes. With e ~ q(z|x) = N(mu(x), sigma(x)^2), z ~ p(z), x_p = G(z), x_r = G(e):

    of x:   log p(x|e)   - KL(q(z|x) || p(z))
    of z:   log q(z|x_p) - KL(p(x|z) || q(x))

Neither divergence needs a density: critics of pairs, f1 and f2, learn their integrands, log q(x, z) - log q(x)p(z)
and log p(x, z) - log q(x)p(z), by telling the encoder's and the decoder's pairs from (x, z), an image and a
code that have nothing to do with each other. sp(t) = ln(1 + exp(t)), every term a batch mean:

    L_f  = sp(-f1(x, e)) + sp(f1(x, z)) + sp(-f2(x_p, z)) + sp(f2(x, z))
    L_EG = f1(x, e) + f2(x_p, z) + w_x 1/2 ||x - x_r||^2 - w_z log q(z|x_p)

the likelihoods without their constants: sums over pixels, and over the code. With w_x = w_z = 1 the last line
is minus both bounds. All networks move at once. The encoder's running statistics are those of images alone, the
decoder's are kept apart for codes of images and of the prior; training is untouched by it.

Only the paper's abstract could be read: the losses are from memory, the sizes, weights and step size are chosen
here. Noise enters the encoder at its end, and the decoder not at all.
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
    hidden: tuple[int, ...] = arg((512, 512), "widths of the critics' fully connected layers")
    norm: Literal["batch", "none"] = arg("batch", "normalisation of the critics; E and G have batch's")
    z_dim: int = arg(128, "size of the code")
    w_x: float = arg(1.0, "weight of -log p(x|z), half the squared error of an image")
    w_z: float = arg(1.0, "weight of -log q(z|x)")
    lr: float = arg(1e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class ASVAE(GaussianEncoder):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("asvae", c, image_shape, c.channels)
        self.enc = dcgan.encoder(image_shape, c.channels, 2 * c.z_dim)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.dec_prior = nets.Statistics(self.dec)
        self.critic_q, self.critic_p = (
            nets.JointCritic(image_shape, c.channels, c.z_dim, c.hidden, norm=c.norm) for _ in range(2)
        )
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        return adams(self.config, gen=[self.enc, self.dec], critic=[self.critic_q, self.critic_p])

    def step(self, x: Tensor, noise, *, kimg: float, gen: Player, critic: Player) -> dict[str, Tensor]:
        z = self.prior(len(x), noise)
        e, kl = ops.reparam_kl(*self.posterior(x), **noise.draw(len(x)), reduction="mean")
        x_p, x_r = self.generate(z), self.dec(e)

        q, p = self.critic_q(x, e), self.critic_p(x_p, z)  # f1, f2: [B, 1], [B, 1]
        loss_q, _, right_q = ops.logistic_adversarial(q, self.critic_q(x, z))  # eq. f1
        loss_p, _, right_p = ops.logistic_adversarial(p, self.critic_p(x, z))  # eq. f2
        nll_x = ops.feature_l2(x_r, x, 0.5, reduction="batchmean")[0]  # eq. -log p(x given z)
        with nets.untracked(self.enc):
            nll_z = gaussian_nll(z, *self.posterior(x_p))  # eq. -log q(z given x)
        loss_eg = q.mean() + p.mean() + self.config.w_x * nll_x + self.config.w_z * nll_z  # eq. both bounds
        minimize_at_once((gen, loss_eg), (critic, loss_q + loss_p))
        return detached(
            loss_q=loss_q, loss_p=loss_p, loss_eg=loss_eg, nll_x=nll_x, nll_z=nll_z, kl=kl,
            right_q=right_q.mean(), right_p=right_p.mean(),
        )  # fmt: skip

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = ASVAE

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (128,), z_dim=16, w_x=0.05, w_z=0.5, lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0155 after 10 kimg, 0.0133 at the end",
    ),
    "cifar10": Preset(Config(), batch=64, kimg=6400, size=32, note="not yet run; not the paper's sizes"),
}  # fmt: skip
