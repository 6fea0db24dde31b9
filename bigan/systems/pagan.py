"""PAGAN: Pairwise Augmented Generative Adversarial Network.

Alanov, Kochurov, Yashkov & Vetrov 2018, arXiv:1810.04920. No code of the authors is known; networks and
optimiser are the defaults of pfnet-research/chainer-gan-lib, as the paper says.

Three critics: of images, of codes, and of pairs of images side by side, where a real pair is an image and its
augmentation a(x), and a fake one an image and its reconstruction. With z ~ N(0, I), z_r ~ q(z|x) = E(x),
x_p = G(z), x_r = G(z_r), logits a_x, a_z, a_xx, sp(t) = ln(1 + exp(t)), every term a batch mean:

    L_Dx  = sp(-a_x(x))         + sp(a_x(x_p))
    L_Dz  = sp(-a_z(z))         + sp(a_z(z_r))
    L_Dxx = sp(-a_xx(x, a(x)))  + sp(a_xx(x, x_r))
    L_G   = sp(-a_x(x_p))       + sp(-a_xx(x, x_r))
    L_E   = sp(-a_z(z_r))       + sp(-a_xx(x, x_r))

All players move once, at the same time. a(.) is reflection padding by a tenth of the side and a random crop
(3 pixels at 32 px); an image is augmented in real pairs alone, and there the second alone. pairs="l1" has
w_l1 mean |x - x_r| in place of the pairs (PAGAN-L1; the paper gives no weight), "identical" the real pair
(x, x) (PAGAN-NOAUG, ALICE's cycle term).
Not stated by the paper, chosen here: what normalises the encoder (enc_norm; the critics have spectral norms);
the code critic's LReLU; exp for sigma; the strengths of blur and contrast in the ablation. Running statistics
of the decoder are kept apart for codes of images and of the prior; training is untouched by it.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bigan import nets, ops
from bigan.nets import pagan as nets_pagan
from bigan.systems.base import GaussianEncoder, Player, Preset, arg, detached, need, need_sane
from bigan.systems.onepass import Game


@dataclass(frozen=True)
class Config:  # the defaults are the paper's for CIFAR-10
    channels: tuple[int, ...] = arg((64, 128, 256, 512), "widths of all networks, full size first")
    z_dim: int = arg(128, "size of the code")
    hidden: tuple[int, ...] = arg((512, 256), "widths of the codes' critic")
    pairs: Literal["augmented", "identical", "l1"] = arg("augmented", "real pairs, or an L1 error for them")
    pad: int = arg(3, "reflection padding of the augmentation, pixels", least=0)
    blur: int = arg(1, "taps of its Gaussian blur, sigma uniform in 0.1 to 2 pixels; 1: none")
    contrast: float = arg(0.0, "its contrast, uniform in 1 - this to 1 + this; 0: none")
    w_l1: float = arg(1.0, "weight of the L1 error with pairs=l1, a mean over pixels")
    enc_norm: Literal["none", "batch", "spectral"] = arg("batch", "normalisation of the encoder")
    sigma: float = arg(1.0, "deviation of an image's code at the start of the training")
    lr: float = arg(2e-4, "Adam step size of all players")
    lr_enc: float = arg(0.0, "that of the encoder, where it is another; 0: lr")
    lr_critic: float = arg(0.0, "that of the critics; 0: lr")
    beta1: float = arg(0.5, "Adam's first decay rate")


class PAGAN(GaussianEncoder):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        _check(c, image_shape)
        colours, side, _ = image_shape
        self.enc = nets_pagan.encoder(image_shape, c.channels, c.z_dim, c.enc_norm, c.sigma)
        self.dec = nets_pagan.generator(c.z_dim, c.channels, image_shape)
        self.dec_prior = nets.Statistics(self.dec)
        self.critic_x = nets_pagan.critic(image_shape, c.channels)
        self.critic_z = nets_pagan.code_critic(c.z_dim, c.hidden)
        if c.pairs != "l1":
            self.critic_xx = nets_pagan.critic((colours, side, 2 * side), c.channels)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        modules = {"enc": [self.enc], "dec": [self.dec], "critic": self.critics()}
        betas = (self.config.beta1, 0.999)
        own = {"enc": self.config.lr_enc, "dec": 0.0, "critic": self.config.lr_critic}
        return {n: Player(n, nets_, own[n] or self.config.lr, betas) for n, nets_ in modules.items()}

    def critics(self) -> list[nn.Module]:
        return [net for name, net in self.named_children() if name.startswith("critic")]

    def step(self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player, critic: Player) -> dict:
        """The paper's algorithm; all gradients are taken at the same parameters."""
        game = Game(self.one_pass)
        z = self.prior(len(x), noise)
        z_r, kl = ops.reparam_kl(*self.posterior(x), **noise.draw(len(x)), reduction="mean")
        x_p, x_r = self.generate(z), self.dec(z_r)

        d_x, g_x, right_x = ops.logistic_adversarial(*game.judge(self.critic_x, x, x_p))  # eq. L_Dx
        d_z, g_z, right_z = ops.logistic_adversarial(*game.judge(self.critic_z, z, z_r))  # eq. L_Dz
        d_xx, g_xx = self.pair_losses(game, x, x_r, noise)
        # g_x does not depend on the encoder nor g_z on the decoder: the sum's gradients are L_G's and L_E's
        game.minimize_at_once((critic, d_x + d_z + d_xx), ((enc, dec), g_x + g_z + g_xx))  # eq. L_G, L_E
        return detached(
            loss_dx=d_x, loss_dz=d_z, loss_dxx=d_xx, loss_g=g_x + g_xx, loss_e=g_z + g_xx, kl=kl,
            right_x=right_x.mean(), right_z=right_z.mean(),
        )  # fmt: skip

    def pair_losses(self, game: Game, x: Tensor, x_r: Tensor, noise) -> tuple[Tensor, Tensor]:
        """L_Dxx and the pairs' part of L_G and L_E; without a critic of pairs 0 and the weighted L1."""
        c = self.config
        if c.pairs == "l1":
            return x.new_zeros(()), c.w_l1 * ops.feature_l2(x_r, x, distance="l1")[0]
        real = self.augmented(x, noise) if c.pairs == "augmented" else torch.cat([x, x], dim=3)
        fake = torch.cat([x, x_r], dim=3)  # [B, C, S, 2 S]
        return ops.logistic_adversarial(*game.judge(self.critic_xx, real, fake))[:2]  # eq. L_Dxx

    def augmented(self, x: Tensor, noise) -> Tensor:
        """x and a(x) side by side.  [B, C, S, S] -> [B, C, S, 2 S]"""
        c = self.config
        contrast = (1 - c.contrast, 1 + c.contrast) if c.contrast else None
        how = {"pad": c.pad, "kernel_size": c.blur, "contrast": contrast}
        return ops.augment_pair(x, **how, layout="width", **noise.draw(len(x)))  # eq. a(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = PAGAN


def _cifar10(**changes) -> Preset:
    """100,000 iterations."""
    return Preset(Config(**changes), batch=64, kimg=6400, size=32, note="not yet run")


PRESETS = {
    # Critics that compare need a halving more than the side suggests, small steps, and an encoder slow enough for the
    # codes' critic to follow; a tenth of the side is one pixel, and that alone moves images by a val_mse of 0.033.
    "cpu": Preset(
        Config(
            (16, 32, 64, 64), z_dim=8, pad=1, sigma=0.13, lr=1e-3, lr_enc=4e-5, lr_critic=4e-4, beta1=0.0
        ),
        batch=16, kimg=60, size=16, note="digits: val_mse 0.061 after 40 kimg, 0.050 at the end",
    ),
    "cifar10": _cifar10(),
    "l1": _cifar10(pairs="l1"),
    "noaug": _cifar10(pairs="identical"),
    "pad-0": _cifar10(pad=0),  # "choice of augmentation", by the fraction of the side
    "pad-0.05": _cifar10(pad=1),
    "pad-0.1": _cifar10(pad=3),
    "pad-0.15": _cifar10(pad=4),
    "pad-0.2": _cifar10(pad=6),
    "blur": _cifar10(pad=0, blur=5),
    "contrast": _cifar10(pad=0, contrast=0.5),
}  # fmt: skip


def _check(c: Config, image_shape: tuple[int, int, int]) -> None:
    need_sane("pagan", c, image_shape)
    side, halvings = image_shape[1], len(c.channels) - 1
    need(len(c.channels) > 1, "pagan", "channels must be two or more widths", c.channels)
    need(
        side % 2**halvings == 0 and side >> halvings > 1,
        "pagan",
        f"{len(c.channels)} channels {c.channels} halve the side {halvings} times, to 2 or more whole pixels",
        f"side {side}",
    )
    need(c.pad < side, "pagan", f"pad must be less than the side, {side}", c.pad)
    need(c.blur % 2 == 1, "pagan", "blur must be odd", c.blur)
    need(c.contrast <= 1, "pagan", "contrast must be at most 1", c.contrast)
    need(c.sigma > 0, "pagan", "sigma must be positive", c.sigma)
