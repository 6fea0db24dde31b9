"""ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching.

Li et al. 2017, arXiv:1709.01215; code ChunyuanLI/ALICE.

ALI's game leaves open which code goes with which image; ALICE closes it by bounding the conditional entropies
H(x|z) and H(z|x) with a cycle. e ~ q(z|x) is a code of x, x_p = G(z), x_r = G(e), z_r ~ q(z|x_p); a(.,.) the
logit of a pair, sp(t) = ln(1 + exp(t)), every term a mean:

    L_D  = sp(-a(x, e)) + sp(a(x_p, z))
    L_EG = sp(a(x, e)) + sp(-a(x_p, z)) + w_x C_x + w_z C_z

    explicit:  C_x = mean |x - x_r|,  C_z = mean |z - z_r|
    implicit:  two more critics tell (x, x) from (x, x_r) and (z, z) from (z, z_r), by L_D's loss, and
               C_x = sp(-a_x(x, x_r)),  C_z = sp(-a_z(z, z_r))

The authors' image code takes probabilities for logarithms in the generators' loss (variant="official"):
sigmoid(a(x, e)) - sigmoid(a(x_p, z)), both means. It calls the decoder's pair the real one, which changes
no loss; feeds noise to E, G and D and ends E in a tanh beside codes from U(-1, 1), where ours draws from a
Gaussian posterior as the paper does; and adds to C_x, C_z the swapped loss of the real pair, a constant.
Its networks are ALI's with those inputs; ours are DCGAN's. All networks move at once.
With generators' cycle weights of 0 this is ALI.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, adams, arg, detached, minimize_at_once, need_sane


@dataclass(frozen=True)
class Config:
    channels: tuple[int, ...] = arg((64, 128, 256), "widths of the convolutions, nearest the image first")
    hidden: tuple[int, ...] = arg((512, 512), "widths of the critics' fully connected layers")
    z_dim: int = arg(256, "size of the code")
    cycle: Literal["explicit", "implicit"] = arg(
        "explicit", "L1 distances, or a critic on pairs of each kind"
    )
    w_x: float = arg(1.0, "weight of the cycle of images")
    w_z: float = arg(1.0, "weight of the cycle of codes")
    variant: Literal["paper", "official"] = arg("paper", "log-probabilities in L_EG, or probabilities")
    lr: float = arg(1e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class ALICE(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("alice", c, image_shape, c.channels)
        self.enc = dcgan.encoder(image_shape, c.channels, 2 * c.z_dim)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.critic = nets.JointCritic(image_shape, c.channels, c.z_dim, c.hidden)
        if c.cycle == "implicit":
            pair = (2 * image_shape[0], *image_shape[1:])
            self.critic_x = dcgan.encoder(pair, c.channels, 1)
            self.critic_z = nets.perceptron(2 * c.z_dim, c.hidden, 1, act="leaky_relu")
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        pairs = [self.critic_x, self.critic_z] if self.config.cycle == "implicit" else []
        return adams(self.config, gen=[self.enc, self.dec], critic=[self.critic, *pairs])

    def step(self, x: Tensor, noise, *, kimg: float, gen: Player, critic: Player) -> dict[str, Tensor]:
        c = self.config
        z, e = self.prior(len(x), noise), self.posterior(x, noise)
        x_p, x_r = self.dec(z), self.dec(e)
        z_r = self.posterior(x_p, noise)

        real, fake = self.critic(x, e), self.critic(x_p, z)
        loss_d, fool, accuracy = ops.logistic_adversarial(real, fake, generator="swapped")  # alg. ALI
        if c.variant == "official":
            fool = real.sigmoid().mean() - fake.sigmoid().mean()
        if c.cycle == "explicit":
            cycle_x = ops.latent_match(x_r, x, "l1")  # alg. explicit: x
            cycle_z = ops.latent_match(z_r, z, "l1")  # alg. explicit: z
        else:
            loss_dx, cycle_x, _ = self.pairs(self.critic_x, x, x_r)  # alg. implicit: x
            loss_dz, cycle_z, _ = self.pairs(self.critic_z, z, z_r)  # alg. implicit: z
            loss_d = loss_d + loss_dx + loss_dz
        loss_eg = fool + c.w_x * cycle_x + c.w_z * cycle_z
        minimize_at_once((gen, loss_eg), (critic, loss_d))
        return detached(
            loss_d=loss_d, loss_eg=loss_eg, cycle_x=cycle_x, cycle_z=cycle_z,
            right_x=accuracy[0], right_z=accuracy[1],
        )  # fmt: skip

    def posterior(self, x: Tensor, noise) -> Tensor:
        """e ~ q(z|x).  [B, C, H, W] -> [B, Z]"""
        return ops.reparam_kl(*self.enc(x).chunk(2, dim=1), **noise.draw(len(x)))[0]

    def pairs(self, critic, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_D, L_G and accuracies of a critic that tells (a, a) from (a, b)."""
        return ops.logistic_adversarial(critic(torch.cat([a, a], 1)), critic(torch.cat([a, b], 1)))

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)[:, : self.z_dim]

    def infer(self, x: Tensor, noise) -> Tensor:
        return self.posterior(x, noise)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = ALICE

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (128,), z_dim=16, w_x=10.0, lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0079 after 10 kimg, 0.0063 at the end",
    ),
    "cpu-implicit": Preset(
        Config((16, 32, 64), (128,), z_dim=16, cycle="implicit", lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0139 after 10 kimg, 0.0099 at the end",
    ),
    "mnist": Preset(Config((64, 128)), batch=64, kimg=6000, size=28, note="not yet run"),
    "cifar10": Preset(Config(w_x=1e-6, w_z=1e-6), batch=64, kimg=5000, size=32, note="not yet run"),
}  # fmt: skip
