"""What the five systems share: players, presets, and the abstract System. They never share a step."""

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from bigan import ops, ranks
from bigan.errors import UserError


def arg(default: Any, help: str, least: int = 1) -> Any:
    """A dataclass field whose help is the flag's help and the documentation; `least`: of a whole number."""
    return dataclasses.field(default=default, metadata={"help": help, "least": least})


def detached(**terms: Tensor) -> dict[str, Tensor]:
    """The terms of a step, without their graphs, as the log wants them."""
    return {name: term.detach() for name, term in terms.items()}


def need(ok: bool, system: str, what: str, got: Any) -> None:
    """Refuses a configuration of `system` unless `ok`."""
    if not ok:
        raise ValueError(f"{system}: {what}, got {got}")


def need_sane(system: str, config: Any, image_shape: Sequence[int], *halving: Sequence[int]) -> None:
    """Refuses what no system can take: a choice there is not, a width of 0, a negative or NaN number.

    halving: widths of networks of stride-2 layers, as `need_halves` has them.
    """
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if get_origin(f.type) is Literal:
            choices = " or ".join(map(repr, get_args(f.type)))
            need(value in get_args(f.type), system, f"{f.name} must be {choices}", repr(value))
        elif f.type is float:
            need(value >= 0, system, f"{f.name} must not be negative", value)
        elif f.type is int:
            least = f.metadata["least"]
            need(
                value >= least,
                system,
                f"{f.name} must {'be positive' if least else 'not be negative'}",
                value,
            )
        elif get_origin(f.type) is tuple:
            need(min(value, default=1) > 0, system, f"{f.name} must be positive widths", value)
    channels, height, width = image_shape
    need(channels > 0 and height == width > 0, system, "images must be squares of some channels", image_shape)
    for widths in halving:
        need_halves(system, widths, height)


def need_halves(system: str, channels: Sequence[int], side: int) -> None:
    """Refuses widths of more stride-2 layers than the side of the images has halves."""
    fits = side % 2 ** len(channels) == 0 and side >> len(channels) > 1
    what = f"{len(channels)} channels {tuple(channels)} halve the side {len(channels)} times"
    need(
        fits, system, f"{what}, to 2 or more whole pixels: give fewer widths or other images", f"side {side}"
    )


class Player:
    """Networks that share one optimiser, e.g. a GAN's encoder. Owns what of an update is not mathematics."""

    optimizer = torch.optim.Adam  # what makes the optimiser of every player, from (params, lr=, betas=)
    clip = 0.0  # largest norm of the gradient; 0: any

    def __init__(
        self, name: str, modules: Iterable[nn.Module], lr: float, betas=(0.9, 0.999), **options: Any
    ):
        self.name, self.lr = name, lr
        self.params = [p for module in modules for p in module.parameters()]
        self.opt = type(self).optimizer(self.params, lr=lr, betas=betas, **options)

    def minimize(self, loss: Tensor, *, also: Sequence["Player"] = (), retain_graph: bool = False) -> None:
        """One descent step on this player's parameters, and from the same backward on those of `also`.

        Nobody else gets a gradient. So a later loss may go back through a graph (kept by `retain_graph`)
        in which this player's weights stood before the step, as long as it is minimised by others.
        """
        players = (self, *also)
        for player in players:
            player.zero_grad()
        backward([loss], inputs=[p for player in players for p in player.params], retain_graph=retain_graph)
        descend(players)

    def zero_grad(self) -> None:
        self.opt.zero_grad(set_to_none=True)

    def move(self) -> None:
        """The optimiser's step, by the gradients that are there."""
        with phase("optimizer"):
            if self.clip:
                torch.nn.utils.clip_grad_norm_(self.params, self.clip)
            self.opt.step()

    def scale_lr(self, factor: float) -> None:
        """The step size becomes `factor` times the one this player was made with."""
        for group in self.opt.param_groups:
            old, new = group["lr"], factor * self.lr
            group["lr"] = old.fill_(new) if isinstance(old, Tensor) else new


def adams(config: Any, **networks: nn.Module | Sequence[nn.Module]) -> dict[str, Player]:
    """A player for each keyword, of its network or networks, by the config's lr, beta1 and, if any, beta2."""
    betas = config.beta1, getattr(config, "beta2", 0.999)
    listed = {name: [nets] if isinstance(nets, nn.Module) else nets for name, nets in networks.items()}
    return {name: Player(name, nets, config.lr, betas) for name, nets in listed.items()}


def backward(tensors: Sequence[Tensor], grads: Sequence[Tensor] | None = None, **options: Any) -> None:
    """torch.autograd.backward, outside of autocast: its types are those of the forward."""
    with phase("backward"), torch._C._DisableAutocast():
        torch.autograd.backward(tensors, grads, **options)


def phase(name: str) -> contextlib.AbstractContextManager:
    """A stretch of a step that --profile tells apart; nothing while no profiler runs."""
    if torch.autograd._profiler_enabled():
        return torch.profiler.record_function(f"bigan: {name}")
    return contextlib.nullcontext()


def minimize_at_once(*moves: tuple[Player | Sequence[Player], Tensor]) -> None:
    """One descent step of each player, or group of them, on a loss of its own, all from the same point."""
    groups = [([who] if isinstance(who, Player) else who, loss) for who, loss in moves]
    players = [player for group, _ in groups for player in group]
    for player in players:
        player.zero_grad()
    for i, (group, loss) in enumerate(groups):
        params = [p for player in group for p in player.params]
        backward([loss], inputs=params, retain_graph=i + 1 < len(groups))
    descend(players)


def descend(players: Sequence[Player]) -> None:
    """One step of each optimiser, by the gradients that stand, averaged over the ranks."""
    ranks.average_([p.grad for player in players for p in player.params if p.grad is not None])
    for player in players:
        player.move()


def gaussian_nll(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Batch mean of -log N(z; mu, sigma^2), without its constant.  [B, Z], [B, Z], [B, Z] -> []"""
    return 0.5 * ((z - mu).square() * (-logvar).exp() + logvar).sum(1).mean()


@dataclasses.dataclass(frozen=True)
class Preset:
    """A row of a system's table of settings."""

    config: Any
    batch: int
    kimg: float  # thousands of images seen by the end
    size: int  # side of the images, pixels
    note: str  # command and result to expect, or "not yet run"


class System(nn.Module, abc.ABC):
    """A generator z -> x, with few exceptions an encoder x -> z, and the rule that trains them.

    A final class a system: its `step` is the paper's algorithm and nothing else. One without an encoder
    leaves `encode` out: it gives samples alone. One that is conditioned on `labels` attributes of each image has
    them as another argument, [B, Y], of step, encode, infer and decode; callers hold them as a tuple, which is
    empty for the others: system.encode(x, *labels).
    """

    data_range: tuple[float, float]  # of the images that step and encode take and decode gives
    z_dim: int
    labels: int = 0  # attributes of each image that are needed beside it
    second_derivatives: bool = False  # whether step differentiates the gradient of a network
    one_pass: bool = False  # whether its games are played by one backward: systems/onepass.py

    def __init__(self, config: Any, image_shape: tuple[int, int, int]):  # (C, H, W)
        """Raises ValueError, and says what it can take, where the two do not fit."""
        super().__init__()
        self.config = config
        self.image_shape = tuple(image_shape)

    @abc.abstractmethod
    def players(self) -> dict[str, Player]:
        """New optimisers, by the names `step` calls them. Once, when the system is on its device."""

    @abc.abstractmethod
    def step(self, x: Tensor, noise, *args: Any, **players: Any) -> dict[str, Tensor]:
        """One training step, called as step(x, noise, *labels, kimg=thousands of images seen before, **players).

        x: [B, C, H, W]. Draws from `noise` (bigan.engine.noise.Noise) alone. Returns its terms as
        detached scalars, and never waits for the device.
        """

    def critics(self) -> list[nn.Module]:
        """The networks that `step` plays against in a Game (systems/onepass.py), all players moving at once."""
        return []

    @classmethod
    def has_encoder(cls) -> bool:
        """Whether there are codes of images, and so reconstructions."""
        return cls.encode is not System.encode

    def encode(self, x: Tensor) -> Tensor:
        """The code of each image, without noise.  [B, C, H, W] -> [B, Z]"""
        raise UserError(f"{type(self).__name__} has no encoder: it generates images, and has codes of none")

    def infer(self, x: Tensor, noise) -> Tensor:
        """A code drawn from q(z|x), where the encoder is stochastic; else `encode`.  [B, C, H, W] -> [B, Z]"""
        return self.encode(x)

    @abc.abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """[B, Z] -> [B, C, H, W]"""

    def prepare(self, x: Tensor) -> None:
        """Initialise what depends on the data, from up to 500 training images; called before training.

        Whatever this sets is overwritten when a run is resumed.  x: [N, C, H, W]
        """
        return

    def kind(self, kimg: float, batch: int) -> str:
        """Which kind of step comes after `kimg` thousand images; those of one kind do the same on other numbers."""
        return ""

    def lr_scale(self, kimg: float) -> float:
        """What every player's step size is multiplied by, in the step after `kimg` thousand images."""
        return 1.0

    def prior(self, n: int, noise) -> Tensor:
        """n codes from N(0, I).  -> [n, Z]"""
        return noise.normal(n, self.z_dim, next(self.parameters()).dtype)

    def reconstruct(self, x: Tensor, *labels: Tensor) -> Tensor:
        """G(E(x)).  [B, C, H, W] -> [B, C, H, W]"""
        return self.decode(self.encode(x, *labels), *labels)

    def generate(self, z: Tensor, *labels: Tensor) -> Tensor:
        """decode, for codes that come from the prior: with statistics of their own, `dec_prior`, where kept."""
        with getattr(self, "dec_prior", contextlib.nullcontext()):
            return self.decode(z, *labels)

    def sample(self, n: int, noise, *labels: Tensor) -> Tensor:
        """n images from the prior.  -> [n, C, H, W]"""
        return self.generate(self.prior(n, noise), *labels)

    @contextlib.contextmanager
    def inference(self) -> Iterator["System"]:
        """Without gradients, with the running statistics instead of the batch's; as before afterwards."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with torch.no_grad():
                yield self
        finally:
            for module, training in modes:
                module.training = training


class GaussianEncoder(System):
    """A system whose encoder, `enc`, gives the mean and the log-variance of q(z|x) side by side."""

    enc: nn.Module

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the code.  [B, C, H, W] -> [B, Z], [B, Z]"""
        mu, logvar = self.enc(x).chunk(2, dim=1)
        return mu, logvar

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def infer(self, x: Tensor, noise) -> Tensor:
        return ops.reparam_kl(*self.posterior(x), **noise.draw(len(x)))[0]
