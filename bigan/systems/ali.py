"""ALI: Adversarially Learned Inference.

Dumoulin, Belghazi, Poole, Mastropietro, Lamb, Arjovsky & Courville 2017, arXiv:1606.00704; code
IshmaelBelghazi/ALI. BiGAN (Donahue et al. 2017) is the same game with a deterministic encoder.

A critic tells pairs of an image and its code from pairs of a sample and the code it was made of. With
rho_q and rho_p the critic's sigmoids of the former, (x, z^), z^ ~ q(z|x), and of the latter, (x~, z):

    L_D = -ln rho_q - ln(1 - rho_p)     critic
    L_G = -ln(1 - rho_q) - ln rho_p     encoder and decoder: the labels exchanged

each a batch mean. Nothing else asks for a faithful reconstruction. Both are taken from one pass of the
critic over all 2B pairs, so where it normalises, encoder's and decoder's pairs share their statistics and
dropout's draws; then both players move at once. The encoder's output is the mean and the log-deviation.
The decoder ends in a bias for each channel and pixel, which starts at the log-odds of the data's mean.

Where the authors' code and their paper differ:
- CIFAR-10's critic: the paper drops out the input of every convolution; in the code a stride over the
  layers misses its mark, so one has none and one mask lies before a maxout (variant="official");
- the joint tower there takes 512 channels, not the table's 1024, as maxout halves both towers';
- CelebA's table (no dropout on images, a first normalisation, 512 codes) is not what the code does; ours is
  the code's;
- "beta2 = 10^-3" is 1 - beta2 of the framework of the time.
Reconstructions are of the posterior's mean; the authors draw from it.

With `labels` attributes an image, or classes, one-hot, all three networks see a linear embedding of these: the encoder
before its last layer, the decoder and the critic's joint tower with their inputs. The authors' code never trains
the embedding, so ours is a constant.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bigan import nets, ops
from bigan.nets.ali import Layers, log_odds, sides, sides_up
from bigan.systems.base import Player, Preset, System, arg, detached
from bigan.systems.onepass import Game

ENC32 = ((5, 1, 32), (4, 2, 64), (4, 1, 128), (4, 2, 256), (4, 1, 512), (1, 1, 512))
DEC32 = ((4, 1, 256), (4, 2, 128), (4, 1, 64), (4, 2, 32), (5, 1, 32), (1, 1, 32))


@dataclass(frozen=True)
class Config:  # the defaults are the authors' for CIFAR-10
    enc: tuple[tuple[int, int, int], ...] = arg(ENC32, "encoder: kernel, stride, channels of each layer")
    dec: tuple[tuple[int, int, int], ...] = arg(DEC32, "decoder, transposed: the same")
    critic_x: tuple[tuple[int, int, int], ...] = arg(ENC32[:5], "critic on images: the same")
    critic_z: tuple[int, ...] = arg((512, 512), "critic on codes: channels of each layer")
    critic_xz: tuple[int, ...] = arg((1024, 1024), "critic on both, joined: channels of each layer")
    critic_z_bias: bool = arg(False, "biases in the critic on codes")
    z_dim: int = arg(64, "size of the code")
    slope: float = arg(0.1, "of the leaky rectifiers")
    maxout: int = arg(2, "channels a maxout of the critic takes the largest of; 1: leaky rectifiers")
    dropout: tuple[float, float] = arg((0.2, 0.5), "of the critic's inputs, and of its other layers'")
    variant: Literal["official", "paper"] = arg("official", "where the critic's dropout lies, with maxout")
    output: Literal["sigmoid", "linear"] = arg("sigmoid", "the decoder's last function")
    noise: int = arg(0, "channels of noise that a non-Gaussian encoder reads with the image; 0: Gaussian")
    labels: int = arg(0, "attributes of an image, or classes, that condition all networks")
    embedding: int = arg(256, "size of their embedding")
    init_std: float = arg(0.01, "deviation of the initial weights")
    lr: float = arg(1e-4, "Adam step size of both players")


class ALI(System):
    data_range = (0.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c, channels = config, image_shape[0]
        _check(c, image_shape)
        late, std = c.embedding if c.labels else 0, c.init_std
        outputs = c.z_dim if c.noise else 2 * c.z_dim
        self.enc = nets.ALIEncoder(c.enc, channels + c.noise, outputs, c.slope, std, late)
        self.dec = nets.ALIDecoder(c.dec, c.z_dim + late, channels, c.slope, std, c.output == "sigmoid")
        self.critic = nets.ALICritic(
            c.critic_x, c.critic_z, c.critic_xz, (channels, c.z_dim),
            slope=c.slope, pieces=c.maxout, dropout=c.dropout, code_bias=c.critic_z_bias,
            misplaced=c.variant == "official" and c.maxout > 1, std=std, late=late,
        )  # fmt: skip
        self.embedding: Tensor
        self.register_buffer("embedding", std * torch.randn(c.labels, late))
        self.z_dim, self.labels = c.z_dim, c.labels

    def players(self) -> dict[str, Player]:
        def player(name: str, *modules: torch.nn.Module) -> Player:
            return Player(name, modules, self.config.lr, betas=(0.5, 0.999))

        return {"critic": player("critic", self.critic), "coders": player("coders", self.enc, self.dec)}

    def critics(self) -> list[torch.nn.Module]:
        return [self.critic]

    def step(
        self, x: Tensor, noise, labels: Tensor | None = None, *, kimg: float, critic: Player, coders: Player
    ) -> dict[str, Tensor]:
        """Algorithm 1.  labels: [B, Y], where the configuration asks for them."""
        game, y = Game(self.one_pass), self.embed(labels)
        z = self.prior(len(x), noise)  # alg. 1: z
        z_q, kl = self.posterior(x, noise, y)  # alg. 1: z^
        x_p = self.dec(joined(z, y))  # alg. 1: x~
        pairs = torch.cat([x, x_p]), torch.cat([z_q, z]), None if y is None else torch.cat([y, y])
        real, fake = game.judge(self.critic, pairs)[0].chunk(2)  # alg. 1: rho
        losses = ops.logistic_adversarial(real, fake, generator="swapped")  # alg. 1: losses
        loss_d, loss_g, (right_q, right_p) = losses
        game.minimize_at_once((critic, loss_d), (coders, loss_g))  # alg. 1: steps
        return detached(loss_d=loss_d, loss_g=loss_g, right_q=right_q, right_p=right_p, **kl)

    def posterior(self, x: Tensor, noise, y: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """z^ ~ q(z|x), and the batch mean of its KL to the prior, where that is known.  -> [B, Z], {}"""
        if self.config.noise:
            return self.enc(self.with_noise(x, noise), y), {}
        mu, logstd = self.enc(x, y).chunk(2, dim=1)
        z, kl = ops.reparam_kl(mu, logstd, logstd=True, reduction="mean", **noise.draw(len(x)))
        return z, {"kl": kl}

    def with_noise(self, x: Tensor, noise) -> Tensor:
        """The image with channels of noise.  [B, C, H, W] -> [B, C + noise, H, W]"""
        n, _, h, w = x.shape
        drawn = noise.normal(n, self.config.noise * h * w, x.dtype)
        return torch.cat([x, drawn.view(n, -1, h, w)], dim=1)

    def embed(self, labels: Tensor | None) -> Tensor | None:
        """[B, Y] -> [B, Y', 1, 1]"""
        wanted = self.config.labels
        if (labels is None) != (not wanted) or (labels is not None and labels.shape[1:] != (wanted,)):
            got = None if labels is None else list(labels.shape)
            raise ValueError(f"ali: labels must be {f'[B, {wanted}]' if wanted else None}, got {got}")
        return None if labels is None else (labels.to(self.embedding) @ self.embedding)[:, :, None, None]

    def prepare(self, x: Tensor) -> None:
        if self.config.output == "sigmoid":
            self.dec.untied.bias.copy_(log_odds(x))

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        silence = x.new_zeros(x.shape[0], self.config.noise, *x.shape[2:])  # any batch, also when traced
        return self.enc(torch.cat([x, silence], dim=1), self.embed(labels))[:, : self.z_dim]

    def infer(self, x: Tensor, noise, labels: Tensor | None = None) -> Tensor:
        return self.posterior(x, noise, self.embed(labels))[0]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.dec(joined(z, self.embed(labels)))


def joined(z: Tensor, y: Tensor | None) -> Tensor:
    return z if y is None else torch.cat([z, y.flatten(1)], dim=1)


build = ALI

CIFAR10 = Config()
SVHN = Config(z_dim=256, slope=0.01, maxout=1, dropout=(0.2, 0.2))
CELEBA = Config(
    enc=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512)),
    dec=((4, 1, 512), (7, 2, 256), (5, 2, 256), (7, 2, 128), (2, 1, 64)),
    critic_x=((2, 1, 64), (7, 2, 128), (5, 2, 256), (7, 2, 256), (4, 1, 512)),
    critic_z=(1024, 1024), critic_xz=(2048, 2048), z_dim=256, slope=0.02, maxout=1, dropout=(0.2, 0.2),
)  # fmt: skip
IMAGENET = Config(
    enc=(
        (4, 2, 64), (4, 1, 64), (4, 2, 128), (4, 1, 128), (4, 2, 256), (4, 1, 256),
        (1, 1, 2048), (1, 1, 2048),
    ),
    dec=(
        (1, 1, 2048), (1, 1, 256),
        (4, 1, 256), (4, 2, 128), (4, 1, 128), (4, 2, 64), (4, 1, 64), (4, 2, 64),
    ),
    critic_x=((4, 2, 64), (4, 1, 64), (4, 2, 128), (4, 1, 128), (4, 2, 256), (4, 1, 256)),
    critic_z=(2048, 2048), critic_xz=(4096, 4096), critic_z_bias=True,
    z_dim=256, slope=0.01, maxout=1, dropout=(0.2, 0.2),
)  # fmt: skip
# CelebA with its 40 attributes
CELEBA_CONDITIONAL = dataclasses.replace(CELEBA, labels=40)
# 25 Gaussians in the plane as images of one pixel and two channels: `bigan reproduce ali-mixture`
MIXTURE = Config(
    enc=((1, 1, 400),) * 2, dec=((1, 1, 400),) * 4, critic_x=(), critic_z=(), critic_xz=(1000,) * 3,
    z_dim=2, slope=0.0, maxout=5, dropout=(0.0, 0.0), output="linear", noise=2, init_std=0.02,
)  # fmt: skip

# Lengths are the authors' epochs: CIFAR-10 6475 of its first 45,000 images, SVHN 100 of the 531,131 extra
# ones, CelebA 123 of 162,770, ImageNet 125 (the paper's; the code says 1000) of 1,281,167.
PRESETS = {
    "cpu": Preset(
        Config(
            enc=((4, 2, 16), (3, 2, 32), (4, 1, 64), (4, 1, 128), (1, 1, 128)),
            dec=((4, 1, 128), (4, 1, 64), (3, 2, 64), (4, 2, 32), (1, 1, 16)),
            critic_x=((4, 2, 16), (3, 2, 32), (4, 1, 64), (4, 1, 128)),
            critic_z=(128, 128), critic_xz=(256, 256),
            z_dim=8, slope=0.2, dropout=(0.1, 0.2), init_std=0.05, lr=4e-4,
        ),
        batch=16, kimg=40, size=32,
        note="digits: clear samples, val_mse 0.053 at the end; CIFAR-10 0.077 after 8 kimg",
    ),
    "cifar10": Preset(CIFAR10, batch=100, kimg=291_375, size=32, note="not yet run"),
    "svhn": Preset(SVHN, batch=100, kimg=53_113.1, size=32, note="not yet run"),
    "celeba": Preset(CELEBA, batch=100, kimg=20_020.71, size=64, note="not yet run"),
    "celeba-conditional": Preset(CELEBA_CONDITIONAL, batch=128, kimg=20_020.71, size=64, note="not yet run"),
    "imagenet64": Preset(IMAGENET, batch=128, kimg=160_145.875, size=64, note="not yet run"),
}  # fmt: skip


def _check(c: Config, image_shape: tuple[int, int, int]) -> None:
    """Refuses a configuration that no network goes with, or that cannot train."""
    channels, height, width = image_shape

    def need(ok: bool, what: str, got) -> None:
        if not ok:
            raise ValueError(f"ali: {what}, got {got}")

    def table(name: str, layers: Layers) -> None:
        ok = all(len(layer) == 3 and min(layer) > 0 for layer in layers)
        need(ok, f"{name} must be triples of kernel, stride and channels, all positive", layers)

    need(channels > 0, "images must have one channel or more", image_shape)
    for name in ("enc", "dec", "critic_x"):
        table(name, getattr(c, name))
    need(bool(c.enc) and bool(c.dec), "enc and dec must have a layer or more", (c.enc, c.dec))
    side = sides_up(c.dec)[-1]
    need(
        height == width == side,
        f"dec makes images of side {side}; resize them to that",
        f"{height} x {width}",
    )
    for name in ("enc", "critic_x"):
        path = sides(getattr(c, name), side)
        need(min(path) > 0 and path[-1] == 1, f"{name} must end in one pixel", f"sides {path}")
    need(c.maxout > 0, "maxout must be positive", c.maxout)
    for name in ("critic_z", "critic_xz"):
        table(name, [(1, 1, n) for n in getattr(c, name)])
    need(bool(c.critic_xz), "critic_xz must have a layer or more", c.critic_xz)
    critic = [*(n for *_, n in c.critic_x), *c.critic_z, *c.critic_xz]
    need(
        not any(n % c.maxout for n in critic), f"the critic's widths must divide by maxout {c.maxout}", critic
    )
    need(c.z_dim > 0, "z_dim must be positive", c.z_dim)
    need(c.embedding > 0, "embedding must be positive", c.embedding)
    for name in ("noise", "labels", "slope", "lr", "init_std"):
        need(getattr(c, name) >= 0, f"{name} must not be negative", getattr(c, name))
    shares = len(c.dropout) == 2 and all(0 <= p < 1 for p in c.dropout)
    need(shares, "dropout must be two shares, 0 or more and below 1", c.dropout)
    need(c.variant in ("official", "paper"), "variant must be 'official' or 'paper'", repr(c.variant))
    need(c.output in ("sigmoid", "linear"), "output must be 'sigmoid' or 'linear'", repr(c.output))
