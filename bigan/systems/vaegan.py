"""VAE/GAN: Autoencoding beyond pixels using a learned similarity metric.

Larsen, Sønderby, Larochelle & Winther 2015, arXiv:1512.09300 (Algorithm 1);
code andersbll/autoencoding_beyond_pixels.

A VAE whose reconstruction is judged in one layer f of the critic of a GAN that shares its decoder. With
z ~ q(z|x), x_r = G(z), x_p = G(z_p), z_p from the prior, a(.) the critic's logit, sp(t) = ln(1 + exp(t)):

    K     = KL(q(z|x) || p(z))
    L_rec = 1/2 ||f(x) - f(x_r)||^2                          (eq. 7: a Gaussian of unit variance)
    L_D   = sp(-a(x)) + sp(a(x_p)), or with the mean of sp(a(x_p)) and sp(a(x_r)) for the second term

    E lowers K + L_rec,   the critic L_D,   G  w L_rec - (1 - w) L_D of the fakes

each a batch mean, all gradients taken at one point; the critic is not moved by L_rec, nor E by L_D. So G
plays the saturating game (generator="saturating"); sp(-a) for the fakes is "non_saturating". The paper shows
the critic x_r and x_p (variant="paper"), the authors' CelebA script x_p alone (variant="official"). f is the
output of the critic's last convolution, before its normalisation. The paper weighs L_rec by gamma beside
L_D's 1, the code by w beside 1 - w. The code skips an update of the critic, or of G, while its loss is far
ahead, adds 1e-3 within logarithms and uses RMSProp; ours does none of that, and takes Adam.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import (
    GaussianEncoder,
    Player,
    Preset,
    adams,
    arg,
    detached,
    minimize_at_once,
    need,
    need_sane,
)


@dataclass(frozen=True)
class Config:  # the defaults are the authors' CelebA script's, but for the optimiser
    channels: tuple[int, ...] = arg((64, 128, 256), "widths of the encoder, nearest the image first")
    hidden: tuple[int, ...] = arg((1024,), "widths of the encoder's fully connected layers")
    dec_channels: tuple[int, ...] = arg((128, 256, 256), "widths of decoder and critic")
    stem: int = arg(32, "width of both at full size")
    critic_hidden: tuple[int, ...] = arg((512,), "widths of the critic's fully connected layers")
    kernel: Literal[4, 5] = arg(5, "side of the convolutions' kernels")
    z_dim: int = arg(128, "size of the code")
    w: float = arg(1e-6, "weight of the reconstruction in the decoder's loss, at most 1")
    variant: Literal["official", "paper"] = arg("official", "samples alone are fakes, or reconstructions too")
    generator: Literal["saturating", "non_saturating"] = arg("saturating", "the decoder's adversarial loss")
    lr: float = arg(2e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class VAEGAN(GaussianEncoder):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("vaegan", c, image_shape, c.dec_channels, c.channels)
        need(c.w <= 1, "vaegan", "w, a share of the decoder's loss, must be at most 1", c.w)
        need(bool(c.dec_channels), "vaegan", "dec_channels must be one or more widths", c.dec_channels)
        kind: dict[str, Any] = {"kernel": c.kernel, "act": "relu"}
        self.enc = dcgan.encoder(image_shape, c.channels, 2 * c.z_dim, c.hidden, first_norm=True, **kind)
        self.dec = dcgan.decoder(c.z_dim, c.dec_channels, image_shape, stem=c.stem, **kind)
        self.dec_prior = nets.Statistics(self.dec)
        self.critic = dcgan.encoder(image_shape, c.dec_channels, 1, c.critic_hidden, stem=c.stem, **kind)
        self.f = max(i for i, layer in enumerate(self.critic) if isinstance(layer, nn.Conv2d)) + 1
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        return adams(self.config, enc=self.enc, dec=self.dec, critic=self.critic)

    def step(
        self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player, critic: Player
    ) -> dict[str, Tensor]:
        """Algorithm 1."""
        c = self.config
        x_p = self.sample(len(x), noise)
        z, kl = ops.reparam_kl(*self.posterior(x), **noise.draw(len(x)), reduction="mean")
        f, f_r, f_p = (self.critic[: self.f](image) for image in (x, self.dec(z), x_p))
        rec = 0.5 * mse_loss(f_r, f, reduction="sum") / len(x)  # eq. 7

        fakes = (f_p, f_r) if c.variant == "paper" else (f_p,)
        real, fake = self.judge(f), torch.cat([self.judge(features) for features in fakes])
        loss_d, fool, accuracy = ops.logistic_adversarial(real, fake, generator=c.generator)
        loss_enc, loss_dec = kl + rec, c.w * rec + (1 - c.w) * fool  # alg. 1: losses
        minimize_at_once((enc, loss_enc), (dec, loss_dec), (critic, loss_d))  # alg. 1: steps
        return detached(
            loss_enc=loss_enc, loss_dec=loss_dec, loss_d=loss_d, kl=kl, rec=rec,
            right_real=accuracy[0], right_fake=accuracy[1],
        )  # fmt: skip

    def judge(self, f: Tensor) -> Tensor:
        """The critic's logits, from its layer f.  [B, ...] -> [B, 1]"""
        return self.critic[self.f :](f)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = VAEGAN

PRESETS = {
    "cpu": Preset(
        Config(
            (16, 32, 64), (), (16, 32, 64), 8, (64,), 4, z_dim=16, w=1e-3,
            generator="non_saturating", lr=1e-3,
        ),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0272 after 10 kimg, 0.0180 at the end",
    ),
    "celeba": Preset(Config(), batch=64, kimg=4000, size=64, note="not yet run"),
    "cifar10": Preset(
        Config(dec_channels=(128, 192, 256), z_dim=256, w=1e-5, variant="paper"),
        batch=64, kimg=3200, size=32, note="not yet run",
    ),
}  # fmt: skip
