"""Soft-IntroVAE: Analyzing and Improving the Introspective Variational Autoencoder.

Daniel & Tamar 2021, arXiv:2012.13253; code taldatech/soft-intro-vae-pytorch, soft_intro_vae/.

IntroVAE without its margin: the encoder lowers a bounded exponential of the fakes' ELBO, so it stops by
itself where a fake is told from data. With K the KL(q(z|x) || p(z)), R(a, b) the squared error summed over
pixels, ELBO(a) = -(w_rec R(a, G(E(a))) + w_neg K(a)), s = 1 / (number of pixel values), sg[.] a stopped
gradient, every term a batch mean (Algorithm 1, where alpha = 2):

    L_E = s (w_rec R(x, x_r) + w_kl K(x)) + 1/4 (exp(2s ELBO(x_r)) + exp(2s ELBO(x_p)))
    L_G = s (w_rec R(x, x_r) + w_kl/2 (K(x_r) + K(x_p)) + gamma w_rec/2 (R'(x_r) + R'(x_p))),
    R'(a) = R(sg[a], G(sg[E(a)])),   E the encoder just updated

In L_E what the encoder looks at is stopped, sg[x_r]. The authors' code compares its reconstruction with an
x_r that is not (variant="official"), so the encoder can also lower the ELBO of x_r by moving x_r; the paper
has it stopped (variant="paper"). The code computes x_r and x_p a second time for L_G; between the two
neither the decoder nor the codes have changed, so ours uses them again: the same numbers, two passes less.
Inference runs on statistics as IntroVAE's does: E's are of images, G has one set for codes of images and
one for the prior's. Left out: a learning-rate drop at epoch 350 of 250, and the "bootstrap" target decoder.
The README's table has CelebA-HQ's w_kl and w_rec the other way round than its code; ours are the code's.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bigan import nets, ops
from bigan.systems.base import Player, Preset, System, arg, detached, need, need_halves, need_sane


@dataclass(frozen=True)
class Config:  # the defaults are the authors' for CIFAR-10
    channels: tuple[int, ...] = arg((64, 128, 256), "widths, full size first; the side is halved at each")
    z_dim: int = arg(128, "size of the code")
    w_rec: float = arg(1.0, "weight of the squared errors, sums over pixels")
    w_kl: float = arg(1.0, "weight of the KL of data, and of fakes in the decoder's loss")
    w_neg: float = arg(256.0, "weight of the KL in the fakes' exponentials, in the place of a margin")
    gamma: float = arg(1e-8, "weight of the fakes' own reconstruction in the decoder's loss")
    variant: Literal["official", "paper"] = arg("official", "whether L_E moves x_r as a target, or not")
    warmup_kimg: float = arg(0.0, "train as a plain VAE for so many thousand images first")
    lr: float = arg(2e-4, "Adam step size of encoder and decoder")


class SoftIntroVAE(System):
    data_range = (0.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        _check(config, image_shape)
        bottom = image_shape[1] >> len(config.channels)
        sizes = (config.channels, config.z_dim, image_shape[0], False, "before", bottom)
        self.enc = nets.ResidualEncoder(*sizes)
        self.dec = nets.ResidualDecoder(*sizes)
        self.dec_prior = nets.Statistics(self.dec)
        self.z_dim = config.z_dim
        self.s = 1 / (image_shape[0] * image_shape[1] * image_shape[2])

    def players(self) -> dict[str, Player]:
        return {name: Player(name, [getattr(self, name)], self.config.lr) for name in ("enc", "dec")}

    def step(self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player) -> dict[str, Tensor]:
        """Algorithm 1."""
        c, s = self.config, self.s
        if kimg < c.warmup_kimg:
            return self.vae_step(x, noise, enc, dec)
        x_p = self.sample(len(x), noise)  # alg. 1: D(Z_f)
        z, kl = self.posterior(x, noise)
        x_r = self.dec(z)  # alg. 1: D(Z)
        rec = sse(x_r, x).mean()

        exp_r = self.exp_elbo(x_r if c.variant == "official" else x_r.detach(), noise)
        exp_p = self.exp_elbo(x_p, noise)
        loss_enc = s * (c.w_rec * rec + c.w_kl * kl) + 0.25 * (exp_r + exp_p)  # alg. 1: L_E
        enc.minimize(loss_enc, retain_graph=True)
        terms = detached(loss_enc=loss_enc, rec=rec, kl=kl, exp_r=exp_r, exp_p=exp_p)
        del loss_enc, exp_r, exp_p  # and the memory of their passes

        (kl_r, again_r), (kl_p, again_p) = self.rate(x_r, noise), self.rate(x_p, noise)
        fool = 0.5 * c.w_kl * (kl_r + kl_p) + 0.5 * c.gamma * c.w_rec * (again_r + again_p)
        loss_dec = s * (c.w_rec * rec + fool)  # alg. 1: L_D
        dec.minimize(loss_dec)
        return terms | detached(loss_dec=loss_dec, kl_r=kl_r, kl_p=kl_p)

    def kind(self, kimg: float, batch: int) -> str:
        return "vae" if kimg < self.config.warmup_kimg else ""

    def vae_step(self, x: Tensor, noise, enc: Player, dec: Player) -> dict[str, Tensor]:
        """The warm-up: both players lower w_rec R + w_kl K(x), by one backward."""
        z, kl = self.posterior(x, noise)
        rec = sse(self.dec(z), x).mean()
        loss = self.config.w_rec * rec + self.config.w_kl * kl
        enc.minimize(loss, also=[dec])
        return detached(loss_enc=loss, loss_dec=loss, rec=rec, kl=kl)

    def posterior(self, x: Tensor, noise, reduction: str = "mean") -> tuple[Tensor, Tensor]:
        """z ~ q(z|x) and K(x).  [B, C, H, W] -> [B, Z], [] or [B]"""
        return ops.reparam_kl(*self.enc(x), **noise.draw(len(x)), reduction=reduction)

    def exp_elbo(self, x: Tensor, noise) -> Tensor:
        """Batch mean of exp(2s ELBO(x)), x a fake that is stopped where the encoder reads it.  -> []"""
        c = self.config
        with nets.untracked(self.enc), nets.untracked(self.dec):
            z, kl = self.posterior(x.detach(), noise, "none")
            elbo = -(c.w_rec * sse(self.dec(z), x) + c.w_neg * kl)  # [B]
        return (2 * self.s * elbo).exp().mean()  # alg. 1: expELBO

    def rate(self, x: Tensor, noise) -> tuple[Tensor, Tensor]:
        """Batch means of K(x) and of R'(x), x a fake.  -> [], []"""
        with nets.untracked(self.enc), nets.untracked(self.dec):
            z, kl = self.posterior(x, noise)
            return kl, sse(self.dec(z.detach()), x.detach()).mean()

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)[0]

    def infer(self, x: Tensor, noise) -> Tensor:
        return self.posterior(x, noise)[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


def sse(x_r: Tensor, x: Tensor) -> Tensor:
    """Squared error of each image, summed over channels and pixels.  -> [B]"""
    return (x_r - x).square().flatten(1).sum(1)


build = SoftIntroVAE

# 250 epochs of 45,000 to 60,000 images are 11,250 to 15,000 kimg.
PRESETS = {
    "cpu": Preset(
        Config((8, 16, 32), z_dim=32, lr=1e-3),
        batch=32, kimg=20, size=32,
        note="digits: val_mse 0.0127 after 10 kimg; 0.0099 at the end with gamma 0",
    ),
    "cifar10": Preset(Config(), batch=32, kimg=12500, size=32, note="not yet run"),
    "svhn": Preset(Config(), batch=32, kimg=18314, size=32, note="not yet run"),
    "mnist": Preset(Config((64, 128), z_dim=32), batch=128, kimg=12000, size=28, note="not yet run"),
    "monsters": Preset(
        Config((64, 128, 256, 512, 512), w_rec=0.2, w_kl=0.2),
        batch=16, kimg=1600, size=128, note="not yet run",
    ),
    "celeba-hq": Preset(
        Config((64, 128, 256, 512, 512, 512), z_dim=256, w_rec=0.5, w_neg=1024.0),
        batch=8, kimg=7250, size=256, note="not yet run",
    ),
}  # fmt: skip


def _check(c: Config, image_shape: tuple[int, int, int]) -> None:
    """Refuses a configuration that no network goes with, or that cannot train."""
    need_sane("soft_introvae", c, image_shape)
    need(bool(c.channels), "soft_introvae", "channels must be one or more widths", c.channels)
    need_halves("soft_introvae", c.channels, image_shape[1])
