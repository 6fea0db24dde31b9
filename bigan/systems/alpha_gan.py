"""alpha-GAN: Variational Approaches for Auto-Encoding Generative Adversarial Networks.

Rosca, Lakshminarayanan, Warde-Farley & Mohamed 2017, arXiv:1706.04987.

A critic of images, logit d(.), tells x from reconstructions x_r = G(e) and from samples x_p = G(z); one of
codes, logit c(.), tells z ~ N(0, I) from e = E(x). sp(t) = ln(1 + exp(t)), every term a mean:

    L_E = w_rec |x - x_r| + f(c(e))                    L_D = sp(-d(x)) + 1/2 (sp(d(x_r)) + sp(d(x_p)))
    L_G = w_rec |x - x_r| + f(d(x_r)) + f(d(x_p))      L_C = sp(-c(z)) + sp(c(e))

adversary="ratio" is the paper's f = -ln D + ln(1 - D), minus the logit; "non_saturating" is f = sp(-.), or
-ln D. Version 1 of the paper swaps prior and posterior in L_C (eq. 16, 17), a misprint. Algorithm 1 lists the
four updates one after another on the same samples; ours takes all four gradients at one point. Batch
normalisation hurts c, so it has none. d sees x, x_r and x_p as three batches. The networks are DCGAN's.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import (
    Player,
    Preset,
    System,
    arg,
    detached,
    need_halves,
    need_sane,
)
from bigan.systems.onepass import Game


@dataclass(frozen=True)
class Config:
    channels: tuple[int, ...] = arg((64, 128, 256), "widths of the convolutions, nearest the image first")
    code_critic: tuple[int, ...] = arg((750, 750), "widths of the code critic's layers")
    z_dim: int = arg(128, "size of the code")
    w_rec: float = arg(1.0, "weight of the mean absolute error, the paper's lambda")
    adversary: Literal["non_saturating", "ratio"] = arg("non_saturating", "f: -ln D, or -ln D + ln(1 - D)")
    norm: Literal["batch", "none"] = arg("batch", "normalisation of the image critic")
    lr: float = arg(8e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")
    beta2: float = arg(0.9, "Adam's second decay rate")


class AlphaGAN(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("alpha_gan", c, image_shape)
        need_halves("alpha_gan", c.channels, image_shape[1])
        self.enc = dcgan.encoder(image_shape, c.channels, c.z_dim)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.dec_prior = nets.Statistics(self.dec)
        self.critic = dcgan.encoder(image_shape, c.channels, 1, norm=c.norm)
        self.code_critic = nets.perceptron(c.z_dim, c.code_critic, 1, act="leaky_relu")
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        c = self.config
        names = ("enc", "dec", "critic", "code_critic")
        return {n: Player(n, [getattr(self, n)], c.lr, (c.beta1, c.beta2)) for n in names}

    def critics(self) -> list[nn.Module]:
        return [self.critic, self.code_critic]

    def step(
        self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player, critic: Player, code_critic: Player
    ) -> dict[str, Tensor]:
        """Algorithm 1, all gradients at one point."""
        game = Game(self.one_pass)
        z, e = self.prior(len(x), noise), self.enc(x)
        x_r, x_p = self.dec(e), self.generate(z)
        rec = self.config.w_rec * ops.latent_match(x_r, x, "l1")

        loss_c, fool_c = self.adversarial(*game.judge(self.code_critic, z, e))  # eq. 16, 17
        real, of_r, of_p = game.judge(self.critic, x, x_r, x_p)
        loss_d, fool_d = self.adversarial(real, torch.cat([of_r, of_p]))
        loss_e, loss_g = rec + fool_c, rec + 2 * fool_d  # alg. 1: losses
        game.minimize_at_once(
            (enc, loss_e), (dec, loss_g), (critic, loss_d), (code_critic, loss_c)
        )  # alg. 1: steps
        return detached(loss_e=loss_e, loss_g=loss_g, loss_d=loss_d, loss_c=loss_c, rec=rec)

    def adversarial(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """A critic's loss, and f of the fakes' logits, from the logits.  -> [], []"""
        loss_d, loss_g, _ = ops.logistic_adversarial(real, fake)
        return loss_d, -fake.mean() if self.config.adversary == "ratio" else loss_g

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = AlphaGAN

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (128, 128), z_dim=16, w_rec=5.0),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0160 after 10 kimg, 0.0101 at the end",
    ),
    "cifar10": Preset(Config(), batch=64, kimg=5000, size=32, note="not yet run"),
}  # fmt: skip
