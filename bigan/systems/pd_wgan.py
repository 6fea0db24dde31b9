"""PD-WGAN: Primal-Dual Wasserstein GAN.

Gemici, Akata & Welling 2018, arXiv:1805.09575; penalty="norm" is that of Gulrajani et al. 2017,
arXiv:1704.00028 (WGAN-GP).

The distance that it costs to carry the model's images to the data, in its two forms. Primal: an encoder couples
each image with the code it can be made of, e = E(x), under the constraint that all codes together are
distributed as the prior. Dual: a critic f without a bound on its values, of slope 1, which a decoder follows.
In theory the critic's gradient between coupled points x_r = G(e) and x is the unit vector from one to the
other, so it is held to that, in length and direction. With x_p = G(z), z ~ N(0, I), c(.) the logit of a critic
of codes, t ~ U(0, 1), sp(t) = ln(1 + exp(t)), every term a batch mean:

    L_E = ||x - x_r|| + w_match sp(-c(e))           L_C = sp(-c(z)) + sp(c(e))
    L_f = f(x_p) - f(x) + w_penalty || grad f(t x + (1 - t) x_r) - (x - x_r) / ||x - x_r|| ||^2
    L_G = w_mix ||x - x_r|| - f(x_p)

penalty="norm" has (||grad f(t x + (1 - t) x_p)|| - 1)^2 in its place. f moves `critic_steps` times on a
minibatch, each with fresh t, then all others at once; it has no batch normalisation, under which an image has
no gradient of its own. The decoder's running statistics are kept apart for codes of images and of the prior.

Only the paper's abstract could be read: the losses are from memory; how the codes are matched to the prior,
the sizes and the weights are chosen here, w_penalty, critic_steps and Adam's settings are WGAN-GP's.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, adams, arg, detached, minimize_at_once, need_sane


@dataclass(frozen=True)
class Config:
    channels: tuple[int, ...] = arg((64, 128, 256), "widths of the convolutions, nearest the image first")
    code_critic: tuple[int, ...] = arg((512, 512), "widths of the code critic's layers")
    z_dim: int = arg(128, "size of the code")
    w_match: float = arg(1.0, "weight of the codes' distribution in the encoder's loss")
    w_mix: float = arg(0.0, "weight of the reconstruction in the decoder's loss, the paper's lambda_mix")
    w_penalty: float = arg(10.0, "weight of the critic's gradient penalty")
    penalty: Literal["direction", "norm"] = arg("direction", "gradient and coupling, or WGAN-GP's")
    critic_steps: int = arg(5, "of the critic of images, for each of the others'")
    lr: float = arg(1e-4, "Adam step size")
    beta1: float = arg(0.0, "Adam's first decay rate")
    beta2: float = arg(0.9, "Adam's second decay rate")


class PDWGAN(System):
    data_range = (-1.0, 1.0)
    second_derivatives = True

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("pd_wgan", c, image_shape, c.channels)
        self.enc = dcgan.encoder(image_shape, c.channels, c.z_dim)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape)
        self.dec_prior = nets.Statistics(self.dec)
        self.critic = dcgan.encoder(image_shape, c.channels, 1, norm="none")
        self.code_critic = nets.perceptron(c.z_dim, c.code_critic, 1, act="leaky_relu")
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        nets_ = {"enc": self.enc, "dec": self.dec, "critic": self.critic, "code_critic": self.code_critic}
        return adams(self.config, **nets_)

    def step(
        self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player, critic: Player, code_critic: Player
    ) -> dict[str, Tensor]:
        c = self.config
        z, e = self.prior(len(x), noise), self.enc(x)
        x_r, x_p = self.dec(e), self.generate(z)

        for _ in range(c.critic_steps):
            distance = self.critic(x).mean() - self.critic(x_p).mean()  # eq. dual
            penalty = self.penalty(x, x_r if c.penalty == "direction" else x_p, noise)
            critic.minimize(c.w_penalty * penalty - distance)  # eq. L_f

        rec = vector_norm((x - x_r).flatten(1), dim=1).mean()  # eq. primal
        loss_c, match, _ = ops.logistic_adversarial(self.code_critic(z), self.code_critic(e))  # eq. L_C
        loss_e = rec + c.w_match * match  # eq. L_E
        loss_g = c.w_mix * rec - self.critic(x_p).mean()  # eq. L_G
        minimize_at_once((enc, loss_e), (dec, loss_g), (code_critic, loss_c))
        return detached(
            loss_e=loss_e, loss_g=loss_g, loss_c=loss_c, rec=rec, match=match, distance=distance,
            penalty=penalty,
        )  # fmt: skip

    def penalty(self, x: Tensor, fake: Tensor, noise) -> Tensor:
        """How far the critic's gradient between images and fakes is from what it should be.  -> []"""
        t = 0.5 + 0.5 * noise.uniform(len(x), 1, x.dtype)[:, :, None, None]
        between = torch.lerp(fake.to(x.dtype), x, t)  # [B, C, H, W]
        grad = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)[0].flatten(1)
        if self.config.penalty == "norm":
            return (vector_norm(grad, dim=1) - 1).square().mean()
        return (grad - normalize((x - fake).flatten(1))).square().sum(1).mean()  # eq. direction

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = PDWGAN

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (128, 128), z_dim=16, w_mix=0.1, critic_steps=2, lr=5e-4, beta1=0.5),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0111 after 10 kimg, 0.0046 at the end",
    ),
    "cifar10": Preset(Config(), batch=64, kimg=6400, size=32, note="not yet run; not the paper's sizes"),
    "cifar10-norm": Preset(
        Config(penalty="norm"), batch=64, kimg=6400, size=32, note="not yet run; not the paper's sizes"
    ),
}  # fmt: skip
