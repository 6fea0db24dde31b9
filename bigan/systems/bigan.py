"""BiGAN: Adversarial Feature Learning.

Donahue, Krähenbühl & Darrell 2016, arXiv:1605.09782; code jeffdonahue/bigan.

A critic tells pairs (x, E(x)) from pairs (G(z), z). The encoder is deterministic, and with the generator it
trains against the critic with both labels swapped; there is no other term. With a(.,.) its logit, sp(t) =
ln(1 + exp(t)), every term a batch mean (section 3.4, in place of the saturating eq. 3):

    L_D  = sp(-a(x, E(x))) + sp(a(G(z), z))
    L_EG = sp(a(x, E(x))) + sp(-a(G(z), z))

All networks move at once, from one read of the logits, as the authors' code does by default (it halves each
loss, which Adam does not notice). Weight decay is added to the gradients, as there; it leaves out no shifts,
which the authors' MNIST networks do not have. Those work on pixels in [0, 1], ours in [-1, 1]. The ImageNet
networks (an AlexNet for an encoder) are not here.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import (
    Player,
    Preset,
    System,
    arg,
    detached,
    need_halves,
    need_sane,
)
from bigan.systems.onepass import Game


@dataclass(frozen=True)
class Config:  # the defaults are the authors' train_mnist.sh
    channels: tuple[int, ...] = arg((), "widths of the convolutions, nearest the image first; or perceptrons")
    hidden: tuple[int, ...] = arg((1024, 1024), "widths of E's fully connected layers, nearest the code")
    dec_hidden: tuple[int, ...] = arg((1024, 1024), "widths of G's")
    critic_hidden: tuple[int, ...] = arg((1024, 1024), "widths of the critic's, which join image and code")
    z_dim: int = arg(50, "size of the code")
    prior: Literal["uniform", "normal"] = arg("uniform", "codes from U(-1, 1) or N(0, 1) in each dimension")
    norm: Literal["batch", "none"] = arg(
        "batch", "normalisation of the critic's layers; E and G have batch's"
    )
    lr: float = arg(2e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")
    decay: float = arg(2.5e-5, "weight decay, in the gradient")
    constant_kimg: float = arg(12000.0, "thousand images before the step size falls")
    fall_kimg: float = arg(12000.0, "and in which it falls, exponentially, to a hundredth; 0: it never does")


class BiGAN(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("bigan", c, image_shape)
        need_halves("bigan", c.channels, image_shape[1])
        self.enc = dcgan.encoder(image_shape, c.channels, c.z_dim, c.hidden)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape, c.dec_hidden)
        self.critic = nets.JointCritic(image_shape, c.channels, c.z_dim, c.critic_hidden, norm=c.norm)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        c = self.config
        settings: dict[str, Any] = {"lr": c.lr, "betas": (c.beta1, 0.999), "weight_decay": c.decay}
        return {
            "gen": Player("gen", [self.enc, self.dec], **settings),
            "critic": Player("critic", [self.critic], **settings),
        }

    def lr_scale(self, kimg: float) -> float:
        past = kimg - self.config.constant_kimg
        return 0.01 ** min(past / self.config.fall_kimg, 1.0) if self.config.fall_kimg and past > 0 else 1.0

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def step(self, x: Tensor, noise, *, kimg: float, gen: Player, critic: Player) -> dict[str, Tensor]:
        """Section 3.4."""
        game, z = Game(self.one_pass), self.prior(len(x), noise)
        real, fake = game.judge(self.critic, (x, self.enc(x)), (self.dec(z), z))
        loss_d, loss_eg, accuracy = ops.logistic_adversarial(real, fake, generator="swapped")  # eq. 3
        game.minimize_at_once((gen, loss_eg), (critic, loss_d))
        return detached(loss_d=loss_d, loss_eg=loss_eg, right_x=accuracy[0], right_z=accuracy[1])

    def prior(self, n: int, noise) -> Tensor:
        draw = noise.uniform if self.config.prior == "uniform" else noise.normal
        return draw(n, self.z_dim, next(self.parameters()).dtype)

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


build = BiGAN

PRESETS = {
    "cpu": Preset(
        Config(
            (16, 32, 64), (64,), (), (128,), z_dim=8, prior="normal", lr=5e-4,
            constant_kimg=20.0, fall_kimg=20.0,
        ),
        batch=32, kimg=40, size=32,
        note="digits: samples that read as digits; val_mse 0.0896 after 10 kimg, 0.069 at the end",
    ),
    "mnist": Preset(Config(), batch=128, kimg=24000, size=28, note="not yet run"),
}  # fmt: skip
