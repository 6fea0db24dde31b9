"""WAE-GAN: Wasserstein Auto-Encoders.

Tolstikhin, Bousquet, Gelly & Schölkopf 2017, arXiv:1711.01558 (Algorithm 1); code tolstikhin/wae.

An autoencoder whose codes, all taken together, an adversary cannot tell from the prior's. E is
deterministic, e = E(x), z ~ N(0, sigma^2 I), a(.) the adversary's logit, sp(t) = ln(1 + exp(t)), every term a
batch mean:

    L_AE  = w_rec ||x - G(e)||^2 + w_match sp(-a(e))
    L_adv = w_match (sp(-a(z)) + sp(a(e)))

the squared error a sum over pixels, its weight 0.05 in the authors' code and 1 in the paper. The paper moves
the adversary first and on the same codes (variant="paper"), the code moves it second, on codes by the
autoencoder just updated (variant="official"). log_prior adds the prior's log-density to the adversary's
logit, so that it learns -log q(z) alone. The code trains on images with a little noise, which it truncates
and ours does not; it first fits the moments of 256 or 1000 codes to the prior's, and ours does not.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import mse_loss

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, arg, detached, need, need_halves, need_sane


@dataclass(frozen=True)
class Config:  # the defaults are the authors' for MNIST
    channels: tuple[int, ...] = arg((128, 256, 512, 1024), "widths of the encoder, nearest the image first")
    dec_channels: tuple[int, ...] = arg((512, 1024), "widths of the decoder, nearest the image first")
    stem: int = arg(256, "width of the decoder's last layer but one, at full size")
    adversary: tuple[int, ...] = arg((512, 512, 512, 512), "widths of the adversary's layers")
    z_dim: int = arg(8, "size of the code")
    sigma: float = arg(1.0, "standard deviation of the prior")
    w_rec: float = arg(0.05, "weight of the squared error, a sum over pixels")
    w_match: float = arg(10.0, "weight of the adversarial terms, the paper's lambda")
    variant: Literal["official", "paper"] = arg("official", "autoencoder or adversary first")
    log_prior: bool = arg(False, "add the prior's log-density to the adversary's logit")
    input_noise: float = arg(0.01, "standard deviation of noise on the images that E sees in training")
    lr: float = arg(3e-4, "Adam step size of the autoencoder")
    lr_adversary: float = arg(1e-3, "Adam step size of the adversary")
    beta1: float = arg(0.5, "Adam's first decay rate")


class WAEGAN(System):
    data_range = (0.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("wae_gan", c, image_shape)
        need(c.sigma > 0, "wae_gan", "sigma must be positive", c.sigma)
        need_halves("wae_gan", c.dec_channels, image_shape[1])
        side = image_shape[1] >> len(c.channels)
        need(
            side > 0,
            "wae_gan",
            f"{len(c.channels)} channels need a side of 2^{len(c.channels)} or more",
            side,
        )
        kind: dict[str, Any] = {"act": "relu", "std": 0.01}
        self.enc = dcgan.encoder(image_shape, c.channels, c.z_dim, first_norm=True, **kind)
        self.dec = dcgan.decoder(c.z_dim, c.dec_channels, image_shape, stem=c.stem, out="sigmoid", **kind)
        self.critic = nets.perceptron(c.z_dim, c.adversary, 1)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        c, betas = self.config, (self.config.beta1, 0.999)
        return {
            "ae": Player("ae", [self.enc, self.dec], c.lr, betas),
            "adv": Player("adv", [self.critic], c.lr_adversary, betas),
        }

    def step(self, x: Tensor, noise, *, kimg: float, ae: Player, adv: Player) -> dict[str, Tensor]:
        """Algorithm 1, or the authors' order."""
        c = self.config
        z = self.prior(len(x), noise)
        seen = x + c.input_noise * noise.normal(len(x), x.numel() // len(x), x.dtype).view_as(x)
        e = self.enc(seen)
        if c.variant == "paper":
            loss_adv = c.w_match * self.adversarial(z, e)[0]  # alg. 1: D
            adv.minimize(loss_adv)

        rec = mse_loss(self.dec(e), x, reduction="sum") / len(x)
        match = self.adversarial(z, e)[1]
        loss_ae = c.w_rec * rec + c.w_match * match  # alg. 1: Q and G
        ae.minimize(loss_ae)
        if c.variant == "official":
            loss_adv = c.w_match * self.adversarial(z, self.enc(seen))[0]
            adv.minimize(loss_adv)
        return detached(loss_ae=loss_ae, loss_adv=loss_adv, rec=rec, match=match)

    def adversarial(self, z: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of codes from the prior and codes of images: the adversary's loss, the encoder's, accuracies."""
        return ops.logistic_adversarial(self.logit(z), self.logit(e))

    def logit(self, z: Tensor) -> Tensor:
        """The adversary's opinion that z is from the prior.  [B, Z] -> [B, 1]"""
        if not self.config.log_prior:
            return self.critic(z)
        var = self.config.sigma**2
        log_p = -z.square().sum(1, keepdim=True) / (2 * var) - 0.5 * self.z_dim * math.log(2 * math.pi * var)
        return self.critic(z) + log_p

    def prior(self, n: int, noise) -> Tensor:
        return self.config.sigma * super().prior(n, noise)

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = WAEGAN

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (32, 64), 16, (128, 128), w_rec=0.05, w_match=1.0, lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0103 after 10 kimg, 0.0102 at the end",
    ),
    "mnist": Preset(Config(), batch=100, kimg=3000, size=28, note="not yet run"),
    "celeba": Preset(
        Config(
            dec_channels=(256, 512, 1024), stem=128, adversary=(1024,) * 4, z_dim=64, w_match=100.0,
            log_prior=True,
        ),
        batch=100, kimg=10130, size=64, note="not yet run",
    ),
}  # fmt: skip
