"""AGE: It Takes (Only) Two: Adversarial Generator-Encoder Networks.

Ulyanov, Vedaldi & Lempitsky 2018, arXiv:1704.02304; code DmitryUlyanov/AGE.

There is no discriminator. The encoder puts a batch's codes on the unit sphere; D(.) is how far their
moments are from the standard normal's, whose direction is uniform on it. The encoder makes codes of images
uniform and those of samples not, the generator codes of its samples uniform:

    V = D(e(g(Z))) - D(e(X))                                    (2)
    L_X = E |x - g(e(x))|,   L_Z = E d(z, e(g(z)))              (3), (4)
    generator: min V + lambda L_Z,   encoder: max V - mu L_X    (5), (6)
    D = KL(N(m, v) || N(0, I)), m and v each batch's own        (7)

A step is of `e_updates`, then of `g_updates`, strings in the authors' own format: how many inner steps, and
the weights of the terms. Each inner step draws codes of its own. Where more than one shows images, the
batch is divided among them, so that each sees images of its own too.

Where the authors' code and their paper differ:
- the code's (7) has the variance where the deviation belongs (variant="official"), which pulls codes on the
  sphere about twice as hard: the published weights go with that; variant="paper" is (7) put right;
- the code averages (7) over dimensions, the paper's first version sums; ours averages in both;
- the code's L_Z is not L2 but 2 - the mean over all elements of the normalised codes' product ("cos"): a
  weight w acts as w / Z on the cosine ("cosine" is without that); its L_X is L1, not L2;
- the code's other criterion, a nearest-neighbour entropy, cannot run as published; ours leaves it out.
Both networks normalise each batch by itself, images and samples apart, as the authors do. At inference
theirs have running statistics of all passes mixed; of ours E has those of images alone, and G one set for
codes of images and one for codes from the prior. Training is untouched by it.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bigan import nets, ops, ranks
from bigan.nets.age import SIDES
from bigan.ops.latent_match import MATCHES
from bigan.systems.base import Player, Preset, System, arg, detached


@dataclass(frozen=True)
class Config:  # the defaults are the authors' for CIFAR-10
    width: int = arg(64, "channels of the encoder's first layer (ndf, ngf)")
    z_dim: int = arg(128, "size of the code")
    e_updates: str = arg("1;KL_fake:1,KL_real:1,match_z:0,match_x:10", "encoder: inner steps; weights")
    g_updates: str = arg("2;KL_fake:1,match_z:1000,match_x:0", "generator: inner steps; weights")
    variant: Literal["official", "paper"] = arg("official", "eq. 7 as the code has it, or put right")
    direction: Literal["qp", "pq"] = arg("qp", "KL(codes || N(0, I)), or the other way round")
    match_x: Literal["cos", "cosine", "l1", "l2"] = arg("l1", "distance of images")
    match_z: Literal["cos", "cosine", "l1", "l2"] = arg("cos", "distance of codes")
    sphere: bool = arg(True, "codes on the unit sphere; without, they and the prior are unbounded")
    lr: float = arg(2e-4, "Adam step size of both")
    epoch: int = arg(49_984, "images in an epoch, for drop_lr: 781 batches of 64 for CIFAR-10")
    drop_lr: int = arg(40, "halve the step sizes every so many epochs, one epoch early; 0: never")


@dataclass(frozen=True)
class Updates:
    """What one of the two weight strings says."""

    steps: int
    kl_fake: float = 0.0
    kl_real: float = 0.0
    match_z: float = 0.0
    match_x: float = 0.0

    @classmethod
    def read(cls, name: str, text: str, terms: tuple[str, ...]) -> "Updates":
        """From "<inner steps>;<term>:<weight>,..."; a term that is not named has weight 0."""
        form = f"age: {name} must be like '2;{','.join(f'{term}:1' for term in terms)}', got {text!r}"
        try:
            steps, _, rest = text.partition(";")
            pairs = [pair.split(":") for pair in rest.split(",")]
            weights = {term.strip(): float(weight) for term, weight in pairs}
            found = cls(int(steps), **{term.lower(): weights[term] for term in weights if term in terms})
        except ValueError:
            raise ValueError(form) from None
        if strange := set(weights) - set(terms):
            raise ValueError(f"{form}: no term {', '.join(sorted(strange))}")
        if found.steps < 1 or len(pairs) > len(weights) or not all(w >= 0 for w in weights.values()):
            raise ValueError(f"{form}: one inner step or more, each term once, weights not negative")
        return found


class AGE(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        _check(c, image_shape)
        self.e = Updates.read("e_updates", c.e_updates, ("KL_fake", "KL_real", "match_z", "match_x"))
        self.g = Updates.read("g_updates", c.g_updates, ("KL_fake", "match_z", "match_x"))
        channels, side, _ = image_shape
        sizes = (side, c.width, c.z_dim, channels)
        self.onto = nets.SphereNormalize() if c.sphere else nn.Identity()
        self.enc = nn.Sequential(nets.age_encoder(*sizes), self.onto)
        self.dec = nets.age_generator(*sizes)
        apart = self.e.match_x or self.g.match_x  # else training shows G no code of an image
        self.dec_prior = nets.Statistics(self.dec) if apart else nullcontext()
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        lr = self.config.lr
        return {name: Player(name, [getattr(self, name)], lr, betas=(0.5, 0.999)) for name in ("enc", "dec")}

    def step(self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player) -> dict[str, Tensor]:
        shown = iter(x.tensor_split(self.e.steps + (self.g.steps if self.g.match_x else 0)))
        for _ in range(self.e.steps):
            x = next(shown)
            loss_enc, terms_enc = self.encoder_loss(x, self.prior(len(x), noise))
            enc.minimize(loss_enc)  # eq. 6
        for _ in range(self.g.steps):
            x = next(shown, x)
            loss_dec, terms_dec = self.generator_loss(x, self.prior(len(x), noise))
            dec.minimize(loss_dec)  # eq. 5
        return detached(loss_enc=loss_enc, loss_dec=loss_dec, **terms_enc, **terms_dec)

    def encoder_loss(self, x: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        c, w = self.config, self.e
        with torch.no_grad():
            x_p = self.generate(z)
        e, e_p = self.enc(x), self.encode_sample(x_p)  # apart: each has its own batch's statistics
        (kl_real, spread_real), (kl_fake, spread_fake) = self.divergence(e), self.divergence(e_p)
        loss = w.kl_real * kl_real - w.kl_fake * kl_fake  # eq. 2
        terms = dict(kl_real=kl_real, kl_fake=kl_fake, spread_real=spread_real, spread_fake=spread_fake)
        if w.match_x:
            terms["rec_x"] = ops.latent_match(self.dec(e), x, c.match_x)  # eq. 3
            loss = loss + w.match_x * terms["rec_x"]
        if w.match_z:
            terms["rec_z"] = ops.latent_match(e_p, z, c.match_z)
            loss = loss + w.match_z * terms["rec_z"]
        return loss, terms

    def generator_loss(self, x: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        c, u = self.config, self.g
        e_p = self.encode_sample(self.generate(z))
        kl, _ = self.divergence(e_p)
        loss, terms = u.kl_fake * kl, {"kl_dec": kl}
        if u.match_z:
            terms["rec_z_dec"] = ops.latent_match(e_p, z, c.match_z)  # eq. 4
            loss = loss + u.match_z * terms["rec_z_dec"]
        if u.match_x:
            terms["rec_x_dec"] = ops.latent_match(self.dec(self.enc(x)), x, c.match_x)
            loss = loss + u.match_x * terms["rec_x_dec"]
        return loss, terms

    def divergence(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """How far the codes are from the prior, and their total variance: on the sphere 0 to 1.  -> [], []"""
        variant = "published" if self.config.variant == "official" else "correct"
        e = ranks.gathered(e)
        kl, _, var = ops.moment_kl(e, variant=variant, direction=self.config.direction)  # eq. 7
        return kl, var.sum()

    def lr_scale(self, kimg: float) -> float:
        if not self.config.drop_lr:
            return 1.0
        epoch = round(1000 * kimg) // self.config.epoch
        return 0.5 ** ((epoch + 1) // self.config.drop_lr)

    def prior(self, n: int, noise) -> Tensor:
        """n codes uniform on the unit sphere.  -> [n, Z]"""
        return self.onto(super().prior(n, noise))

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def encode_sample(self, x: Tensor) -> Tensor:
        """The code of a sample, which leaves E's running statistics to images.  [B, C, H, W] -> [B, Z]"""
        with nets.untracked(self.enc):
            return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = AGE

# Lengths are the authors' epochs of whole batches: CIFAR-10 150 of 49,984 images, ImageNet 6 of 1,281,152,
# CelebA 5 of 162,752 (its training images).
PRESETS = {
    "cpu": Preset(
        Config(
            width=16, z_dim=32, lr=1e-3, drop_lr=0,
            e_updates="1;KL_fake:1,KL_real:1,match_z:0,match_x:10",
            g_updates="2;KL_fake:1,match_z:250,match_x:0",
        ),
        batch=64, kimg=40, size=32,
        note="val_mse 0.012 after 14 kimg of digits, 0.035 after 12 of CIFAR-10",
    ),
    "cifar10": Preset(Config(), batch=64, kimg=7497.6, size=32, note="not yet run"),
    "imagenet32": Preset(
        Config(g_updates="2;KL_fake:1,match_z:2000,match_x:0", epoch=1_281_152, drop_lr=3),
        batch=64, kimg=7686.912, size=32, note="not yet run",
    ),
    "svhn": Preset(  # the paper names the size of the code; the rest is CIFAR-10's, and the code's epochs
        Config(z_dim=64, epoch=73_216, drop_lr=5), batch=64, kimg=1830.4, size=32, note="not yet run"
    ),
    "celeba": Preset(
        Config(
            z_dim=64, g_updates="3;KL_fake:1,match_z:1000,match_x:0", epoch=162_752, drop_lr=5
        ),
        batch=64, kimg=813.76, size=64, note="not yet run",
    ),
    "celeba-second": Preset(  # the authors' sixth epoch, which starts from the weights of `celeba`
        Config(
            z_dim=64, e_updates="1;KL_fake:1,KL_real:1,match_z:0,match_x:15",
            g_updates="3;KL_fake:1,match_z:1000,match_x:0", epoch=162_560, drop_lr=0,
        ),
        batch=256, kimg=162.56, size=64, note="with --init-from a run of `celeba`; not yet run",
    ),
}  # fmt: skip


def _check(c: Config, image_shape: tuple[int, int, int]) -> None:
    """Refuses a configuration that no network goes with, or that cannot train."""
    channels, height, width = image_shape

    def need(ok: bool, what: str, got) -> None:
        if not ok:
            raise ValueError(f"age: {what}, got {got}")

    need(channels > 0, "images must have one channel or more", image_shape)
    if height != width or height not in SIDES:
        raise ValueError(
            f"age: images must be 32 x 32 or 64 x 64, got {height} x {width}. Resize them to 32 or 64."
        )
    need(c.width > 0, "width must be positive", c.width)
    need(c.z_dim > 0, "z_dim must be positive", c.z_dim)
    need(c.lr >= 0, "lr must not be negative", c.lr)
    need(c.epoch > 0, "epoch, a number of images, must be positive", c.epoch)
    need(c.drop_lr >= 0, "drop_lr must not be negative", c.drop_lr)
    need(c.variant in ("official", "paper"), "variant must be 'official' or 'paper'", repr(c.variant))
    need(c.direction in ("qp", "pq"), "direction must be 'qp' or 'pq'", repr(c.direction))
    for name in ("match_x", "match_z"):
        value = getattr(c, name)
        need(value in MATCHES, f"{name} must be one of {', '.join(MATCHES)}", repr(value))
