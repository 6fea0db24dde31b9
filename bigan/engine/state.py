"""All that a training step changes, as flat tensors: what a checkpoint holds."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bigan.engine.ema import EMA
from bigan.systems.base import Player, System


class State:
    """A system, its players' optimisers and its moving average, under these names:

    model.<key>   ema.<key>   opt.<player>.<parameter's number>.<key>
    """

    def __init__(self, system: System, half_life: float = 0.0):
        self.system = system
        self.ema = EMA(system, half_life) if half_life else None
        self.players: dict[str, Player] = system.players()

    def tensors(self) -> dict[str, Tensor]:
        """A copy on the CPU, of this moment."""
        found = {f"model.{key}": t for key, t in self.system.state_dict().items()}
        if self.ema:
            found |= {f"ema.{key}": t for key, t in self.ema.system.state_dict().items()}
        for name, player in self.players.items():
            for i, p in enumerate(_params(player)):
                found |= {
                    f"opt.{name}.{i}.{k}": t for k, t in player.opt.state.get(p, {}).items() if t is not None
                }
        return {name: t.detach().to("cpu", copy=True).contiguous() for name, t in found.items()}

    def settings(self) -> dict[str, Any]:
        """What a schedule may have changed in the optimisers, for JSON."""
        return {
            name: [float(g["lr"]) for g in player.opt.param_groups] for name, player in self.players.items()
        }

    def load(self, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
        """Become what `tensors` and `settings` were taken from."""
        self.system.load_state_dict(part(tensors, "model"))
        if self.ema:
            self.ema.system.load_state_dict(part(tensors, "ema"))
        for name, player in self.players.items():
            mine = part(tensors, f"opt.{name}")
            stored: dict[int, dict[str, Tensor]] = {}
            params = list(_params(player))
            for key, t in mine.items():
                number, _, entry = key.partition(".")
                stored.setdefault(int(number), {})[entry] = _laid_out_like(params[int(number)], t)
            # The groups are this process's own: a switch such as `fused` belongs to the machine, not the run.
            groups = player.opt.state_dict()["param_groups"]
            player.opt.load_state_dict({"state": stored, "param_groups": groups})
            for group, lr in zip(player.opt.param_groups, settings[name], strict=True):
                group["lr"] = group["lr"].fill_(lr) if isinstance(group["lr"], Tensor) else lr


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {
        name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")
    }


def first_non_finite(tensors: dict[str, Tensor]) -> str | None:
    """The name of a tensor with a NaN or an infinity in it."""
    return next(
        (name for name, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()), None
    )


def _params(player: Player) -> Iterator[Tensor]:
    return (p for group in player.opt.param_groups for p in group["params"])


def _laid_out_like(p: Tensor, t: Tensor) -> Tensor:
    """t in p's strides (channels_last, say): a kernel may round differently for another layout."""
    return torch.empty_like(p, dtype=t.dtype, device=t.device).copy_(t) if t.shape == p.shape else t
