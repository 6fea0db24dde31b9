"""What the five systems share: players, presets, and the abstract System. They never share a step."""

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def arg(default: Any, help: str) -> Any:
    """A dataclass field whose help is the flag's help and the documentation."""
    return dataclasses.field(default=default, metadata={"help": help})


def detached(**terms: Tensor) -> dict[str, Tensor]:
    """The terms of a step, without their graphs, as the log wants them."""
    return {name: term.detach() for name, term in terms.items()}


class Player:
    """Networks that share one optimiser, e.g. a GAN's encoder. Owns what of an update is not mathematics."""

    optimizer = torch.optim.Adam  # what makes the optimiser of every player, from (params, lr=, betas=)

    def __init__(self, name: str, modules: Iterable[nn.Module], lr: float, betas=(0.9, 0.999)):
        self.name, self.lr = name, lr
        self.params = [p for module in modules for p in module.parameters()]
        self.opt = type(self).optimizer(self.params, lr=lr, betas=betas)

    def minimize(self, loss: Tensor, *, also: Sequence["Player"] = (), retain_graph: bool = False) -> None:
        """One descent step on this player's parameters, and from the same backward on those of `also`.

        Nobody else gets a gradient. So a later loss may go back through a graph (kept by `retain_graph`)
        in which this player's weights stood before the step, as long as it is minimised by others.
        """
        players = (self, *also)
        for player in players:
            player.opt.zero_grad(set_to_none=True)
        loss.backward(inputs=[p for player in players for p in player.params], retain_graph=retain_graph)
        for player in players:
            player.opt.step()

    def scale_lr(self, factor: float) -> None:
        """The step size becomes `factor` times the one this player was made with."""
        for group in self.opt.param_groups:
            old, new = group["lr"], factor * self.lr
            group["lr"] = old.fill_(new) if isinstance(old, Tensor) else new


def minimize_at_once(*moves: tuple[Player, Tensor]) -> None:
    """One descent step of each player on a loss of its own, all gradients taken before anyone moves."""
    for player, _ in moves:
        player.opt.zero_grad(set_to_none=True)
    for i, (player, loss) in enumerate(moves):
        loss.backward(inputs=player.params, retain_graph=i + 1 < len(moves))
    for player, _ in moves:
        player.opt.step()


@dataclasses.dataclass(frozen=True)
class Preset:
    """A row of a system's table of settings."""

    config: Any
    batch: int
    kimg: float  # thousands of images seen by the end
    size: int  # side of the images, pixels
    note: str  # command and result to expect, or "not yet run"


class System(nn.Module, abc.ABC):
    """An encoder x -> z and a generator z -> x, with the rule that trains them.

    A final class a system: its `step` is the paper's algorithm and nothing else.
    """

    data_range: tuple[float, float]  # of the images that step and encode take and decode gives
    z_dim: int
    labels: int = 0  # attributes of each image that step needs beside it

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
        """One training step, called as step(x, noise, kimg=thousands of images seen before, **players).

        x: [B, C, H, W]. Draws from `noise` (bigan.engine.noise.Noise) alone. Returns its terms as
        detached scalars, and never waits for the device.
        """

    @abc.abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """The code of each image, without noise.  [B, C, H, W] -> [B, Z]"""

    @abc.abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """[B, Z] -> [B, C, H, W]"""

    def prepare(self, x: Tensor) -> None:
        """Initialise what depends on the data, from up to 500 training images; called before training.

        Whatever this sets is overwritten when a run is resumed.  x: [N, C, H, W]
        """
        return

    def lr_scale(self, kimg: float) -> float:
        """What every player's step size is multiplied by, in the step after `kimg` thousand images."""
        return 1.0

    def prior(self, n: int, noise) -> Tensor:
        """n codes from N(0, I).  -> [n, Z]"""
        return noise.normal(n, self.z_dim, next(self.parameters()).dtype)

    def reconstruct(self, x: Tensor) -> Tensor:
        """G(E(x)).  [B, C, H, W] -> [B, C, H, W]"""
        return self.decode(self.encode(x))

    def generate(self, z: Tensor) -> Tensor:
        """decode, for codes that come from the prior: a system may tell them from codes of images."""
        return self.decode(z)

    def sample(self, n: int, noise) -> Tensor:
        """n images from the prior.  -> [n, C, H, W]"""
        return self.generate(self.prior(n, noise))

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
