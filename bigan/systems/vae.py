"""VAE: Auto-Encoding Variational Bayes.

Kingma & Welling 2014, arXiv:1312.6114; beta: Higgins et al. 2017 (beta-VAE).

Encoder and decoder lower together the negative evidence bound (eq. 7, 10; a batch mean, one sample of z):

    L = -log p(x|z) + beta KL(q(z|x) || p(z)),   z ~ q(z|x) = N(mu(x), sigma(x)^2),   p(z) = N(0, I)

    gaussian:   -log p(x|z) = 1/2 ||x - G(z)||^2, of unit variance and without its constant
    bernoulli:  -log p(x|z) = -sum (x log G(z) + (1 - x) log(1 - G(z)))

both sums over pixels; G ends in a sigmoid. beta = 1 is the bound. The paper learns the Gaussian's variance
too and trains with Adagrad, of step size 0.01 to 0.1, and a weak N(0, I) prior on the weights; ours has
neither, and Adam.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from bigan import ops
from bigan.nets import dcgan
from bigan.systems.base import GaussianEncoder, Player, Preset, arg, detached, need_halves, need_sane


@dataclass(frozen=True)
class Config:  # the defaults are the paper's for MNIST
    channels: tuple[int, ...] = arg(
        (), "widths of the convolutions, nearest the image first; none: perceptrons"
    )
    hidden: tuple[int, ...] = arg((500,), "widths of the fully connected layers, nearest the code")
    act: Literal["relu", "leaky_relu", "tanh"] = arg("tanh", "activation of the hidden layers")
    norm: Literal["none", "batch"] = arg("none", "normalisation of the hidden layers")
    z_dim: int = arg(20, "size of the code")
    likelihood: Literal["gaussian", "bernoulli"] = arg("bernoulli", "what the decoder's output parametrises")
    beta: float = arg(1.0, "weight of the KL")
    lr: float = arg(1e-3, "Adam step size")


class VAE(GaussianEncoder):
    data_range = (0.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c = config
        need_sane("vae", c, image_shape)
        need_halves("vae", c.channels, image_shape[1])
        std = 0.02 if c.norm == "batch" else 0.0
        kind: dict[str, Any] = {"norm": c.norm, "act": c.act, "std": std}
        self.enc = dcgan.encoder(image_shape, c.channels, 2 * c.z_dim, c.hidden, **kind)
        self.dec = dcgan.decoder(c.z_dim, c.channels, image_shape, c.hidden, out="none", **kind)
        self.z_dim = c.z_dim

    def players(self) -> dict[str, Player]:
        return {"vae": Player("vae", [self.enc, self.dec], self.config.lr)}

    def step(self, x: Tensor, noise, *, kimg: float, vae: Player) -> dict[str, Tensor]:
        """Algorithm 1 with L = 1."""
        z, kl = ops.reparam_kl(*self.posterior(x), **noise.draw(len(x)), reduction="mean")  # eq. 9, 10
        nll = self.nll(self.dec(z), x)
        loss = nll + self.config.beta * kl  # eq. 7
        vae.minimize(loss)
        return detached(loss=loss, nll=nll, kl=kl)

    def nll(self, logits: Tensor, x: Tensor) -> Tensor:
        """Batch mean of -log p(x|z), from the decoder's output before its sigmoid.  -> []"""
        if self.config.likelihood == "bernoulli":
            return binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        return 0.5 * mse_loss(logits.sigmoid(), x, reduction="sum") / len(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z).sigmoid()


build = VAE

PRESETS = {
    "cpu": Preset(
        Config((16, 32, 64), (), "relu", "batch", z_dim=16),
        batch=32, kimg=30, size=32, note="digits: val_mse 0.0617 after 1.5 kimg, 0.0044 at the end",
    ),
    "mnist": Preset(Config(), batch=100, kimg=10000, size=28, note="not yet run"),
}  # fmt: skip
