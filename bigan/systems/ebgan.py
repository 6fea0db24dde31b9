"""EBGAN: Energy-based Generative Adversarial Network.

Zhao, Mathieu & LeCun 2016, arXiv:1609.03126.

The critic is an autoencoder, and its opinion of an image an energy, the error it makes there: U(x) =
||Dec(Enc(x)) - x||. It lowers the energy of images and raises that of generated ones, x_p = G(z), up to a
margin m; the generator lowers it (eq. 1 and 2; batch means of [.]+ = max(., 0) of each image):

    L_D = U(x) + [m - U(x_p)]+
    L_G = U(x_p) + w_pt P(x_p)

The pulling-away term P is the mean squared cosine between the critic's codes Enc of different images
of a batch; it keeps the generator from making one image. energy="squared" takes ||.||^2. Both players move at
once, from the same energies. G's codes and Enc's have nothing to do with each other, so there is no encoder:
a trained EBGAN gives samples alone. IntroVAE is this with the KL for an energy.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.linalg import vector_norm

from bigan import ops, ranks
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, adams, arg, detached, minimize_at_once, need, need_sane


@dataclass(frozen=True)
class Config:  # the defaults are the paper's for CelebA
    channels: tuple[int, ...] = arg((128, 256, 512, 1024), "widths of the generator, nearest the image first")
    critic: tuple[int, ...] = arg(
        (64, 128, 256), "widths of the critic's encoder, and backwards of its decoder"
    )
    z_dim: int = arg(100, "size of the code")
    margin: float = arg(20.0, "energy that the critic gives generated images, at most")
    energy: Literal["norm", "squared"] = arg("norm", "Euclidean norm of the error over pixels, or its square")
    w_pt: float = arg(0.0, "weight of the pulling-away term; 0.1 in the paper's EBGAN-PT")
    lr: float = arg(1e-3, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class EBGAN(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("ebgan", c, image_shape, c.channels, c.critic)
        need(bool(c.critic), "ebgan", "critic must be one or more widths", c.critic)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.critic_enc, _ = dcgan.features(image_shape, c.critic)
        self.critic_dec = dcgan.features_decoder(c.critic, image_shape)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        return adams(self.config, dec=self.dec, critic=[self.critic_enc, self.critic_dec])

    def step(self, x: Tensor, noise, *, kimg: float, dec: Player, critic: Player) -> dict[str, Tensor]:
        c = self.config
        x_p = self.sample(len(x), noise)
        (real, _), (fake, code) = self.energy(x), self.energy(x_p)  # [B]
        loss_d = real.mean() + (c.margin - fake).relu().mean()  # eq. 1
        pull = pulling_away(ranks.gathered(code)) if c.w_pt else x.new_zeros(())
        loss_g = fake.mean() + c.w_pt * pull  # eq. 2
        minimize_at_once((dec, loss_g), (critic, loss_d))
        return detached(loss_d=loss_d, loss_g=loss_g, real=real.mean(), fake=fake.mean(), pull=pull)

    def energy(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's error and its code.  [B, C, H, W] -> [B], [B, F]"""
        code = self.critic_enc(x)
        error = vector_norm((self.critic_dec(code) - x).flatten(1), dim=1)
        return error.square() if self.config.energy == "squared" else error, code

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


def pulling_away(code: Tensor) -> Tensor:
    """Mean squared cosine between different rows, two or more.  [B, F] -> []"""
    n = code.shape[0]
    unit = ops.sphere_normalize(code)
    return ((unit @ unit.T).square().sum() - n) / (n * (n - 1))


build = EBGAN

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (8, 16), z_dim=32, margin=6.0, w_pt=0.1),
        batch=32, kimg=30, size=32,
        note="digits: samples that mostly read as digits",
    ),
    "celeba": Preset(Config(), batch=64, kimg=10000, size=64, note="not yet run"),
    "lsun": Preset(Config(margin=80.0), batch=64, kimg=15000, size=64, note="not yet run"),
    "celeba-pt": Preset(Config(w_pt=0.1), batch=64, kimg=10000, size=64, note="not yet run"),
}  # fmt: skip
