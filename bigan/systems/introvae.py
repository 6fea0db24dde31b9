"""IntroVAE: Introspective Variational Autoencoders for Photographic Image Synthesis.

Huang, Li, He, Sun & Tan 2018, arXiv:1807.06358; code hhb072/IntroVAE.

The encoder is its own critic: it holds KL(q(z|x) || p(z)) low on data and above a margin m on
reconstructions x_r and samples x_p; the decoder lowers it on both. With [a]+ = max(a, 0), K the KL and
SSE the squared error of x_r, each a batch mean of sums over dimensions, and every fake stopped in L_E:

    L_E = w_rec SSE + w_kl (K(x) + w_neg/2 ([m - K(x_r)]+ + [m - K(x_p)]+))
    L_G = w_rec SSE + w_kl a (K(x_r) + K(x_p)),   K by the encoder just updated

Where the authors' code and their paper differ:
- the paper's alpha = w_neg/2 weights the KLs in both losses (variant="paper": a = w_neg/2); the code
  holds the decoder's at one half (variant="official": a = 1/2);
- the paper halves the squared error, the code does not: the paper's beta is 2 w_rec/w_kl;
- the paper prints the KL with its sign reversed; the code, and ours, has it right;
- the code's hinge is of the batch mean (hinge="batch"); the paper can also be read as one for each
  image (hinge="sample").
Ours gives L_G the reconstruction's gradient in the decoder's own backward, where the code leaves it over
from the encoder's: the same sum, and one backward through the decoder less. And where the authors run
inference in training mode, on the batch's own statistics, ours has running ones: E's are of images, not
of fakes; G has one set for codes of images and one for codes from the prior. Training is untouched by it.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import mse_loss

from bigan import nets, ops, ranks
from bigan.systems.base import Player, Preset, System, arg, detached


@dataclass(frozen=True)
class Config:  # the defaults are the authors' run_256.sh
    channels: tuple[int, ...] = arg((32, 64, 128, 256, 512, 512), "widths, full size first; side 4 * 2^n")
    z_dim: int = arg(512, "size of the code")
    m: float = arg(120.0, "margin on the KL of reconstructions and samples, nats")
    w_rec: float = arg(0.05, "weight of the squared error, a sum over pixels")
    w_kl: float = arg(1.0, "weight of the KL terms")
    w_neg: float = arg(0.5, "weight of the margin terms within them; the paper's alpha is half of it")
    variant: Literal["official", "paper"] = arg("official", "the decoder's KL weight: one half, or alpha")
    hinge: Literal["batch", "sample"] = arg("batch", "margin on the batch's mean KL, or on each image's")
    warmup_kimg: float = arg(0.0, "train as a plain VAE for so many thousand images first")
    lr: float = arg(2e-4, "Adam step size of encoder and decoder")
    published_shortcut: bool = arg(True, "1x1 shortcuts also between equal widths above 256, as published")


class IntroVAE(System):
    data_range = (0.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        _check(config, image_shape)
        sizes = (config.channels, config.z_dim, image_shape[0], config.published_shortcut)
        self.enc = nets.ResidualEncoder(*sizes)
        self.dec = nets.ResidualDecoder(*sizes)
        self.dec_prior = nets.Statistics(self.dec)
        self.z_dim = config.z_dim

    def players(self) -> dict[str, Player]:
        return {name: Player(name, [getattr(self, name)], self.config.lr) for name in ("enc", "dec")}

    def step(self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player) -> dict[str, Tensor]:
        """Algorithm 1; the paper's ng() is .detach()."""
        c = self.config
        if kimg < c.warmup_kimg:
            return self.vae_step(x, noise, enc, dec)
        x_p = self.sample(len(x), noise)  # l. 5-6
        z, kl = self.posterior(x, noise)  # l. 4
        x_r = self.dec(z)  # l. 6
        rec = sse(x_r, x)  # l. 7

        hinge_r, hinge_p = self.hinge(x_r.detach()), self.hinge(x_p.detach())  # l. 8
        loss_enc = c.w_rec * rec + c.w_kl * (kl + 0.5 * c.w_neg * (hinge_r + hinge_p))  # l. 9
        enc.minimize(loss_enc, retain_graph=True)  # l. 10
        terms = detached(loss_enc=loss_enc, rec=rec, kl=kl, hinge_r=hinge_r, hinge_p=hinge_p)
        del loss_enc, hinge_r, hinge_p  # and the memory of l. 8

        kl_r, kl_p = self.kl(x_r), self.kl(x_p)  # l. 11
        a = 0.5 if c.variant == "official" else 0.5 * c.w_neg
        loss_dec = c.w_rec * rec + c.w_kl * a * (kl_r + kl_p)  # l. 12
        dec.minimize(loss_dec)  # l. 13
        return terms | detached(loss_dec=loss_dec, kl_r=kl_r, kl_p=kl_p)

    def kind(self, kimg: float, batch: int) -> str:
        return "vae" if kimg < self.config.warmup_kimg else ""

    def vae_step(self, x: Tensor, noise, enc: Player, dec: Player) -> dict[str, Tensor]:
        """The warm-up: both players lower SSE + K(x), unweighted, by one backward."""
        z, kl = self.posterior(x, noise)
        rec = sse(self.dec(z), x)
        loss = rec + kl
        enc.minimize(loss, also=[dec])
        return detached(loss_enc=loss, loss_dec=loss, rec=rec, kl=kl)

    def posterior(self, x: Tensor, noise) -> tuple[Tensor, Tensor]:
        """z ~ q(z|x) and the batch mean of K(x).  [B, C, H, W] -> [B, Z], []"""
        return ops.reparam_kl(*self.enc(x), **noise.draw(len(x)), reduction="mean")

    def kl(self, x: Tensor, **margin) -> Tensor:
        """Batch mean of K(x), x a fake.  [B, C, H, W] -> []"""
        with nets.untracked(self.enc):
            mu, logvar = (ranks.gathered(e) for e in self.enc(x))  # a hinge is of the whole batch's mean
        return ops.gaussian_kl(mu, logvar, reduction="mean", **margin)

    def hinge(self, x: Tensor) -> Tensor:
        """[m - K(x)]+ of the batch mean, or the batch mean of it, x a fake.  [B, C, H, W] -> []"""
        return self.kl(x, margin=self.config.m, hinge=self.config.hinge)

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)[0]

    def infer(self, x: Tensor, noise) -> Tensor:
        return self.posterior(x, noise)[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


def sse(x_r: Tensor, x: Tensor) -> Tensor:
    """Batch mean of the squared error, summed over channels and pixels.  -> []"""
    return mse_loss(x_r, x, reduction="sum") / len(x)


build = IntroVAE

# The authors count epochs of their 29,000 images of CelebA-HQ: 500 are 14,500 kimg, num_vae = 4 are 116.
# They mirror images (--flip). No setting for 32 px is published. These weigh the fakes' K lightly against the
# error: with more of it (w_neg 0.5, or a = 1/2) a small decoder paints one pattern on everything.
PRESETS = {
    "digits": Preset(
        Config((16, 32), z_dim=16, m=40.0, w_rec=5.0, lr=1e-3),
        batch=32, kimg=30, size=16,
        note="bigan train introvae: val_mse 0.121 after 0.5 kimg, 0.009 at the end",
    ),
    "cpu": Preset(
        Config((16, 32, 64), z_dim=64, m=150.0, w_rec=10.0, w_neg=0.25, variant="paper", lr=5e-4),
        batch=32, kimg=100, size=32,
        note="CIFAR-10, --flip: val_mse 0.071 after 1 kimg, 0.0127 at the end",
    ),
    "cifar10": Preset(  # networks of Soft-IntroVAE (arXiv:2012.13253)
        Config((64, 128, 256), z_dim=128, m=200.0, w_rec=10.0, w_neg=0.25, variant="paper"),
        batch=32, kimg=12500, size=32, note="not yet run",
    ),
    "128": Preset(  # the paper's: alpha 0.25, beta 0.5; widths as in the authors' default list
        Config((64, 128, 256, 512, 512), z_dim=256, m=110.0, w_rec=0.25, variant="paper"),
        batch=8, kimg=14500, size=128, note="not yet run",
    ),
    "256": Preset(Config(), batch=16, kimg=14500, size=256, note="not yet run"),  # run_256.sh
    "256-second": Preset(  # run_256.sh, its second setting
        Config(m=1000.0, w_rec=1.0, warmup_kimg=290.0), batch=16, kimg=14500, size=256, note="not yet run"
    ),
    "1024": Preset(  # run_1024.sh, on four GPUs
        Config((16, 32, 64, 128, 256, 512, 512, 512), m=500.0, w_rec=0.01, w_neg=1.0, warmup_kimg=116.0),
        batch=12, kimg=14500, size=1024, note="not yet run",
    ),
}  # fmt: skip


def _check(c: Config, image_shape: tuple[int, int, int]) -> None:
    """Refuses a configuration that no network goes with, or that cannot train."""
    channels, height, width = image_shape

    def need(ok: bool, what: str, got) -> None:
        if not ok:
            raise ValueError(f"introvae: {what}, got {got}")

    need(bool(c.channels) and min(c.channels) > 0, "channels must be one or more widths", c.channels)
    need(channels > 0, "images must have one channel or more", image_shape)
    side = nets.side(c.channels)
    if (height, width) != (side, side):
        fits = [n for n in range(1, 11) if 4 * 2**n == height == width]
        advice = f", or give {fits[0]} widths" if fits else ""
        raise ValueError(
            f"introvae: {len(c.channels)} channels {tuple(c.channels)} take images of side "
            f"4 * 2^{len(c.channels)} = {side}, got {height} x {width}. Resize them to {side}{advice}."
        )
    need(c.z_dim > 0, "z_dim must be positive", c.z_dim)
    need(c.m >= 0, "m, a margin on the KL, must not be negative", c.m)
    for name in ("w_rec", "w_kl", "w_neg", "warmup_kimg", "lr"):
        need(getattr(c, name) >= 0, f"{name} must not be negative", getattr(c, name))
    need(c.variant in ("official", "paper"), "variant must be 'official' or 'paper'", repr(c.variant))
    need(c.hinge in ("batch", "sample"), "hinge must be 'batch' or 'sample'", repr(c.hinge))
