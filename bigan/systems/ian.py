"""IAN: the Introspective Adversarial Network.

Brock, Lim, Ritchie & Weston 2016, arXiv:1609.07093; code ajbrock/Neural-Photo-Editor (IAN.py, train_IAN.py).

The encoder is a small head on the critic's own features f_1..f_4, trained for itself. The critic tells three
classes apart: 0 real, 1 reconstruction x_r, 2 sample x_p. With CE(p, k) = -ln p_k, every term a batch mean,
means over pixels, features and the code's dimensions, and ls = ln sigma:

    L_D = CE(D(x), 0) + CE(D(x_r), 1) + CE(D(x_p), 2) + w_ortho R(trunk)
    A   = CE(D(x_r), 0) + CE(D(x_p), 0)
    P   = mean 2 |x_r - x|,   F = mean_l mean (f_l(x_r) - f_l(x))^2
    K   = -1/2 mean (1 + 2 ls - mu^2 - exp(2 ls))
    L_G = A + w_pixel P + w_feature F + w_ortho R(decoder)            for the decoder
    L_Z = A + w_pixel P + w_feature F + w_kl K + w_l2 |head|^2        for the encoder's head

The trunk learns from L_D alone. Codes, of images and of the prior, pass a fixed random autoregressive map
before the decoder; the KL is of the code before it. R is `nets.ian.orthogonal_penalty`.

Where the authors' code and their paper differ: the code trains decoder and critic on minibatches in turn and
the head on each (updates="alternating"), the paper says that all move at once ("simultaneous"); the code's KL
is a mean over dimensions; its penalty takes the rows of each filter, not W W^T; its L1 has the factor 2 (and
an epsilon of 1e-8, left out here). The paper's printed losses have mixed signs; these are the code's.
loss="binary" (IANv1.py, IAN_simple.py) has one logit: x against x_r and x_p, each of weight 1.
Ours: running statistics of the trunk are of images, the decoder's of their codes, with a set of its own for
prior codes (the authors let all race); the autoregressive map is saved, not redrawn from a seed.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bigan import nets, ops, ranks
from bigan.nets import ian as nets_ian
from bigan.systems.base import (
    Player,
    Preset,
    System,
    arg,
    detached,
    minimize_at_once,
    need,
    need_halves,
    need_sane,
)

EPOCH = 162.77  # kimg: CelebA's training images


@dataclass(frozen=True)
class Config:  # the defaults are the authors' IAN.py and train_IAN.py
    channels: tuple[int, ...] = arg((128, 256, 512, 1024), "widths of the trunk, nearest the image first")
    z_dim: int = arg(100, "size of the code")
    networks: Literal["full", "v1", "simple"] = arg("full", "decoder of IAN.py, IANv1.py or IAN_simple.py")
    head: int = arg(1000, "width of the encoder's head")
    kernels: int = arg(500, "kernels of the minibatch discrimination")
    kernel_dims: int = arg(5, "dimensions of each")
    flow: bool = arg(True, "a fixed autoregressive map between code and decoder")
    loss: Literal["ternary", "binary"] = arg("ternary", "classes of the critic")
    updates: Literal["alternating", "simultaneous"] = arg(
        "alternating", "decoder and critic in turn, or at once"
    )
    w_pixel: float = arg(3.0, "weight of the pixel loss")
    w_feature: float = arg(1.0, "weight of the feature loss")
    w_kl: float = arg(1.0, "weight of the KL, a mean over the code's dimensions")
    w_ortho: float = arg(1e-3, "weight of the orthogonal penalties")
    w_l2: float = arg(1e-5, "weight of the squared weights of the head")
    lr: float = arg(2e-4, "Adam step size of all players")
    lr_at: tuple[float, ...] = arg(
        (25 * EPOCH, 50 * EPOCH, 75 * EPOCH), "kimg at which the step size changes"
    )
    lr_factors: tuple[float, ...] = arg((0.5, 0.25, 0.05), "to these parts of lr")


class IAN(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("ian", c, image_shape)
        need_halves("ian", c.channels, image_shape[1])
        need(len(c.lr_at) == len(c.lr_factors), "ian", "lr_at and lr_factors must be as many", c.lr_factors)
        width, side = c.channels[-1], image_shape[1] >> len(c.channels)
        self.trunk = nets_ian.Trunk(image_shape[0], c.channels)
        self.critic = nets_ian.critic_head(width, c.kernels, c.kernel_dims, 3 if c.loss == "ternary" else 1)
        act = "elu" if c.networks == "simple" else "relu"
        self.head = nets_ian.LatentHead(width * side**2, c.head, c.z_dim, act)
        self.flow = nets_ian.InverseAutoregressiveFlow(c.z_dim) if c.flow else nn.Identity()
        self.dec = nets_ian.decoder(c.networks, c.z_dim, c.channels, image_shape)
        self.dec_prior = nets.Statistics(self.dec)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        modules: dict[str, list[nn.Module]] = {
            "critic": [self.trunk, self.critic],
            "head": [self.head],
            "dec": [self.dec],
        }
        return {name: Player(name, nets_, self.config.lr, (0.5, 0.999)) for name, nets_ in modules.items()}

    def step(self, x: Tensor, noise, *, kimg: float, critic: Player, head: Player, dec: Player) -> dict:
        """train_IAN.py; the flow and the decoder's `sample` are one expression there."""
        c = self.config
        f = self.trunk(x)
        # L_D must not reach the trunk through x_r: the head reads features that are stopped
        z, kl = ops.reparam_kl(
            *self.head(f[-1].detach()), logstd=True, dims="mean", reduction="mean", **noise.draw(len(x))
        )  # alg. K
        x_r, x_p = self.decode(z), self.sample(len(x), noise)
        with nets.untracked(self.trunk):
            f_r, f_p = self.trunk(x_r), self.trunk(x_p)
        logits = (self.critic(maps[-1]) for maps in (f, f_r, f_p))
        loss_d, adv, (right_real, right_rec, right_gen) = self.adversarial(*logits)
        pixel = 2 * ops.feature_l2(x_r, x, distance="l1")[0]  # alg. P
        feature = ops.feature_l2(f_r, f, 1 / len(f))[0]  # alg. F

        both = adv + c.w_pixel * pixel + c.w_feature * feature
        own_dec = c.w_ortho * nets_ian.orthogonal_penalty(self.dec)
        own_head = c.w_kl * kl + c.w_l2 * self.head.squared_weights()
        loss_d = loss_d + c.w_ortho * nets_ian.orthogonal_penalty(self.trunk)
        loss_g, loss_z = both + own_dec, both + own_head  # alg. L_G, L_Z
        loss_gz = loss_g + own_head  # its gradient is L_G's by the decoder, L_Z's by the head
        if c.updates == "simultaneous":
            minimize_at_once((critic, loss_d), ((dec, head), loss_gz))  # alg. all at once
        elif round(1000 * kimg / (ranks.count() * len(x))) % 2 == 0:
            minimize_at_once(((dec, head), loss_gz))  # alg. even minibatches
        else:
            minimize_at_once((critic, loss_d), (head, loss_z))  # alg. odd minibatches
        return detached(
            loss_d=loss_d, loss_g=loss_g, loss_z=loss_z, adv=adv, pixel=pixel, feature=feature, kl=kl,
            right_real=right_real, right_rec=right_rec, right_gen=right_gen,
        )  # fmt: skip

    def adversarial(self, real: Tensor, rec: Tensor, gen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_D without its penalty, A, accuracies, from the logits.  [B, 3] (or [B, 1]) -> [], [], [3]"""
        if self.config.loss == "ternary":
            return ops.ternary_adversarial(real, rec, gen)  # alg. L_D, A
        d_rec, a_rec, right = ops.logistic_adversarial(real, rec)
        d_gen, a_gen, right_gen = ops.logistic_adversarial(real[:0], gen)
        return d_rec + d_gen, a_rec + a_gen, torch.cat([right, right_gen[1:]])

    def encode(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x)[-1])[0]

    def infer(self, x: Tensor, noise) -> Tensor:
        return ops.reparam_kl(*self.head(self.trunk(x)[-1]), logstd=True, **noise.draw(len(x)))[0]

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(self.flow(z))

    def kind(self, kimg: float, batch: int) -> str:
        odd = round(1000 * kimg / batch) % 2
        return "odd" if odd and self.config.updates != "simultaneous" else ""

    def lr_scale(self, kimg: float) -> float:
        passed = [f for at, f in zip(self.config.lr_at, self.config.lr_factors, strict=True) if kimg >= at]
        return passed[-1] if passed else 1.0


build = IAN

PRESETS = {
    # Without the flow: so short a training does not tame its exp. Codes as long as the paper's: the KL is a mean
    # over them, and of few each would cost too much.
    "cpu": Preset(
        Config(
            (32, 64), head=64, kernels=16, flow=False, lr=5e-4, lr_at=(), lr_factors=()
        ),
        batch=16, kimg=20, size=16, note="digits: val_mse 0.022 at the end",
    ),
    "celeba": Preset(Config(), batch=16, kimg=80 * EPOCH, size=64, note="not yet run"),  # IAN.py
    "v1": Preset(  # IANv1.py
        Config(networks="v1", loss="binary", w_ortho=0.0),
        batch=16, kimg=80 * EPOCH, size=64, note="not yet run",
    ),
    "simple": Preset(  # IAN_simple.py
        Config(networks="simple", flow=False, loss="binary", w_ortho=0.0, lr_at=(), lr_factors=()),
        batch=128, kimg=250 * EPOCH, size=64, note="not yet run",
    ),
}  # fmt: skip
