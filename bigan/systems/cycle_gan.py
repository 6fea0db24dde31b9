"""CycleGAN between images and codes: Unpaired Image-to-Image Translation using Cycle-Consistent Networks.

Zhu, Park, Isola & Efros 2017, arXiv:1703.10593; code junyanz/pytorch-CycleGAN-and-pix2pix.

The paper translates between two collections of images; here the second collection is the prior's codes, so its
two generators are a decoder and an encoder: the cycle-type reconstruction that the other systems are compared
with. With e = E(x), x_p = G(z), z ~ N(0, I), x_r = G(e), z_r = E(x_p), critics d of images and c of codes, every
term a mean (eq. 3, with section 4's least squares in place of eq. 1's logarithms):

    L_D  = 1/2 ((d(x) - 1)^2 + d(x_p)^2) + 1/2 ((c(z) - 1)^2 + c(e)^2)
    L_EG = (d(x_p) - 1)^2 + (c(e) - 1)^2 + w_cycle (|x - x_r| + |z - z_r|)

The authors' code moves both generators, then both critics on the fakes of before: all at one point, as ours. It
halves L_D as above, which the paper leaves to the step size, and shows the critics fakes from a history of 50;
ours has none. Networks are DCGAN's instead of residual ones and patch critics, batches larger than 1. The
decoder's running statistics are kept apart for codes of images and of the prior, the encoder's are those of
images alone.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, adams, arg, detached, minimize_at_once, need_sane


@dataclass(frozen=True)
class Config:
    channels: tuple[int, ...] = arg((64, 128, 256), "widths of the convolutions, nearest the image first")
    code_critic: tuple[int, ...] = arg((512, 512), "widths of the code critic's layers")
    z_dim: int = arg(128, "size of the code")
    w_cycle: float = arg(10.0, "weight of both cycles, the paper's lambda")
    lr: float = arg(2e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class CycleGAN(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("cycle_gan", c, image_shape, c.channels)
        self.enc = dcgan.encoder(image_shape, c.channels, c.z_dim)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.dec_prior = nets.Statistics(self.dec)
        self.critic = dcgan.encoder(image_shape, c.channels, 1)
        self.code_critic = nets.perceptron(c.z_dim, c.code_critic, 1, act="leaky_relu")
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        return adams(self.config, gen=[self.enc, self.dec], critic=[self.critic, self.code_critic])

    def step(self, x: Tensor, noise, *, kimg: float, gen: Player, critic: Player) -> dict[str, Tensor]:
        z, e = self.prior(len(x), noise), self.enc(x)
        x_p, x_r = self.generate(z), self.dec(e)
        with nets.untracked(self.enc):
            z_r = self.enc(x_p)

        squares: Any = {"form": "least_squares"}  # both losses with a factor 1/2
        d_x, g_x, right_x = ops.logistic_adversarial(self.critic(x), self.critic(x_p), **squares)
        d_z, g_z, right_z = ops.logistic_adversarial(self.code_critic(z), self.code_critic(e), **squares)
        cycle = ops.latent_match(x_r, x, "l1") + ops.latent_match(z_r, z, "l1")  # eq. 2
        loss_d, loss_eg = d_x + d_z, 2 * g_x + 2 * g_z + self.config.w_cycle * cycle  # eq. 3
        minimize_at_once((gen, loss_eg), (critic, loss_d))
        return detached(
            loss_d=loss_d, loss_eg=loss_eg, cycle=cycle, right_x=right_x.mean(), right_z=right_z.mean()
        )

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = CycleGAN

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (128, 128), z_dim=16, lr=1e-3), batch=32, kimg=30, size=32,
        note="digits: val_mse 0.0114 after 10 kimg, 0.0070 at the end",
    ),
    "cifar10": Preset(Config(), batch=64, kimg=6400, size=32, note="not yet run; no setting of the paper's"),
}  # fmt: skip
