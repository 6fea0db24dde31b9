"""GAN: Generative Adversarial Networks, with the networks of DCGAN.

Goodfellow et al. 2014, arXiv:1406.2661; Radford, Metz & Chintala 2015, arXiv:1511.06434 (networks, settings).

A critic tells images x from generated ones x_p = G(z), z ~ p(z). With a(.) its logit, sp(t) =
ln(1 + exp(t)) and every term a batch mean (1406.2661, eq. 1, written as two losses):

    L_D = sp(-a(x)) + sp(a(x_p))
    L_G = sp(-a(x_p)),   or saturating, as in eq. 1: -sp(a(x_p))

`form` has hinge, least-squares and Wasserstein losses in their place (Wasserstein's without its Lipschitz
constraint, which is up to you). updates="alternating" is Algorithm 1 with k = 1: the critic first, then the
generator on fresh codes and against the new critic. "simultaneous" takes both steps from the same point and
from one read of the logits, as chainer-gan-lib's DCGAN does. Real and generated images are two batches for
the critic's batch normalisation. There is no encoder: a trained GAN gives samples alone.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from bigan import ops
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, arg, detached, need_halves, need_sane
from bigan.systems.onepass import Game


@dataclass(frozen=True)
class Config:  # the defaults are DCGAN's
    channels: tuple[int, ...] = arg((128, 256, 512, 1024), "widths of both networks, nearest the image first")
    z_dim: int = arg(100, "size of the code")
    prior: Literal["uniform", "normal"] = arg("uniform", "codes from U(-1, 1) or N(0, 1) in each dimension")
    kernel: Literal[4, 5] = arg(5, "side of the convolutions' kernels")
    form: Literal["logistic", "hinge", "least_squares", "wasserstein"] = arg("logistic", "the critic's loss")
    generator: Literal["non_saturating", "saturating"] = arg("non_saturating", "the generator's loss")
    updates: Literal["alternating", "simultaneous"] = arg("alternating", "critic, then generator; or at once")
    norm: Literal["batch", "none"] = arg("batch", "normalisation of the critic; the generator has batch's")
    lr: float = arg(2e-4, "Adam step size of both players")
    beta1: float = arg(0.5, "Adam's first decay rate")


class GAN(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("gan", c, image_shape)
        need_halves("gan", c.channels, image_shape[1])
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape, kernel=c.kernel)
        self.critic = dcgan.encoder(image_shape, c.channels, 1, kernel=c.kernel, norm=c.norm)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        c = self.config
        return {
            name: Player(name, [getattr(self, name)], c.lr, (c.beta1, 0.999)) for name in ("dec", "critic")
        }

    def critics(self) -> list[nn.Module]:
        return [self.critic] if self.config.updates == "simultaneous" else []

    def step(self, x: Tensor, noise, *, kimg: float, dec: Player, critic: Player) -> dict[str, Tensor]:
        """Algorithm 1 with k = 1."""
        game = Game(self.one_pass)
        real, fake = game.judge(self.critic, x, self.sample(len(x), noise))
        loss_d, loss_g, accuracy = self.losses(real, fake)
        if self.config.updates == "simultaneous":
            game.minimize_at_once((dec, loss_g), (critic, loss_d))
        else:
            critic.minimize(loss_d)  # alg. 1: D
            _, loss_g, _ = self.losses(real, self.critic(self.sample(len(x), noise)))
            dec.minimize(loss_g)  # alg. 1: G
        return detached(loss_d=loss_d, loss_g=loss_g, right_real=accuracy[0], right_fake=accuracy[1])

    def losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_D, L_G (of the fake logits alone), accuracies.  [B, 1], [B, 1] -> [], [], [2]"""
        form = {"form": self.config.form, "generator": self.config.generator}
        return ops.logistic_adversarial(real, fake, **form)  # eq. 1

    def prior(self, n: int, noise) -> Tensor:
        draw = noise.uniform if self.config.prior == "uniform" else noise.normal
        return draw(n, self.z_dim, next(self.parameters()).dtype)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = GAN

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), z_dim=32, kernel=4, lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: samples that read as digits",
    ),
    "dcgan": Preset(Config(), batch=128, kimg=15165, size=64, note="not yet run"),  # 5 epochs of LSUN
}  # fmt: skip
