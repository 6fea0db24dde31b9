"""AAE: Adversarial Autoencoders.

Makhzani, Shlens, Jaitly, Goodfellow & Frey 2015, arXiv:1511.05644 (section 2).

An autoencoder whose codes are made to look like the prior's, in two phases on each mini-batch. e = E(x),
deterministic; z ~ N(0, sigma^2 I); a(.) the logit of a critic of codes, sp(t) = ln(1 + exp(t)), batch means:

    reconstruction:   E and G lower -log p(x|e)
    regularisation:   the critic lowers sp(-a(z)) + sp(a(e)), then E lowers sp(-a(e))

with -log p(x|e) = 1/2 ||x - G(e)||^2 or Bernoulli's cross-entropy, sums over pixels. The paper trains by SGD
with momentum and with step sizes of its own in each phase; ours is Adam, one state for E in both.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from bigan import nets, ops
from bigan.nets import dcgan
from bigan.systems.base import Player, Preset, System, arg, detached, need, need_halves, need_sane


@dataclass(frozen=True)
class Config:  # the defaults are the paper's for the likelihood of MNIST, but for the optimiser
    channels: tuple[int, ...] = arg((), "widths of the convolutions, nearest the image first; or perceptrons")
    hidden: tuple[int, ...] = arg((1000, 1000), "widths of the fully connected layers, nearest the code")
    critic: tuple[int, ...] = arg((1000, 1000), "widths of the critic's layers")
    norm: Literal["none", "batch"] = arg("none", "normalisation of E's and G's layers")
    z_dim: int = arg(8, "size of the code")
    sigma: float = arg(5.0, "standard deviation of the prior")
    likelihood: Literal["bernoulli", "gaussian"] = arg("bernoulli", "what the decoder's output parametrises")
    lr: float = arg(1e-4, "Adam step size")
    beta1: float = arg(0.5, "Adam's first decay rate")


class AAE(System):
    data_range = (0.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("aae", c, image_shape)
        need(c.sigma > 0, "aae", "sigma must be positive", c.sigma)
        need_halves("aae", c.channels, image_shape[1])
        kind: dict[str, Any] = {"norm": c.norm, "act": "relu", "std": 0.02 if c.norm == "batch" else 0.0}
        self.enc = dcgan.encoder(image_shape, c.channels, c.z_dim, c.hidden, **kind)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape, c.hidden, out="none", **kind)
        self.critic = nets.perceptron(c.z_dim, c.critic, 1)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        c = self.config
        names = ("enc", "dec", "critic")
        return {n: Player(n, [getattr(self, n)], c.lr, (c.beta1, 0.999)) for n in names}

    def step(
        self, x: Tensor, noise, *, kimg: float, enc: Player, dec: Player, critic: Player
    ) -> dict[str, Tensor]:
        """Section 2: a reconstruction phase and a regularisation phase."""
        nll = self.nll(self.dec(self.enc(x)), x)
        enc.minimize(nll, also=[dec])  # alg. reconstruction phase

        z, e = self.prior(len(x), noise), self.enc(x)
        loss_d, _, accuracy = ops.logistic_adversarial(self.critic(z), self.critic(e))
        critic.minimize(loss_d)  # alg. regularisation phase: critic
        _, loss_e, _ = ops.logistic_adversarial(self.critic(z), self.critic(e))
        enc.minimize(loss_e)  # alg. regularisation phase: encoder
        return detached(nll=nll, loss_d=loss_d, loss_e=loss_e, right_z=accuracy[0], right_e=accuracy[1])

    def nll(self, logits: Tensor, x: Tensor) -> Tensor:
        """Batch mean of -log p(x|e), from the decoder's output before its sigmoid.  -> []"""
        if self.config.likelihood == "bernoulli":
            return binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        return 0.5 * mse_loss(logits.sigmoid(), x, reduction="sum") / len(x)

    def prior(self, n: int, noise) -> Tensor:
        return self.config.sigma * super().prior(n, noise)

    def encode(self, x: Tensor) -> Tensor:
        return self.enc(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z).sigmoid()


build = AAE

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (), (128, 128), "batch", z_dim=16, sigma=1.0, lr=1e-3),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0047 after 10 kimg, 0.0038 at the end",
    ),
    "mnist": Preset(Config(), batch=100, kimg=60000, size=28, note="not yet run"),
}  # fmt: skip
