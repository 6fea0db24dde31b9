"""One backward through a critic serves both players (Shen et al. 2021, "Training GANs in one stage").

A critic that couples no samples has the gradient J_i^T s_i at its i-th input, where J_i is its Jacobian and s_i the
derivative of a loss by the i-th logit. L_D's s_i and L_G's differ, J_i does not. So L_D is taken back once,
through a merged batch, and what leaves the critic's input is multiplied sample by sample by the ratio of the two:
for logistic losses -exp(-a). Exact up to rounding for any pair of losses of the logits.

A step plays by it, or by the textbook's two backwards, in the same lines:

    game = Game(self.one_pass)
    real, fake = game.judge(self.critic, x, x_p)
    game.minimize_at_once((critic, loss_d), (generator, loss_g))
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bigan.nets.minibatch import MinibatchDiscrimination
from bigan.systems.base import Player, System, backward, descend, minimize_at_once

Inputs = Tensor | Sequence[Tensor | None]  # of a critic, for one group of samples

# A critic that is sure of a sample has a slope that underflows, and the ratio would be infinite. Slopes are
# kept from below this: less than what the critic's gradient is rounded by.
LEAST = {torch.float64: 1e-200, torch.float32: 1e-30, torch.bfloat16: 1e-30}


@dataclass
class _Judgement:
    """A critic's pass over the merged groups, cut off from what made its inputs and from the losses."""

    net: nn.Module
    groups: list[Sequence[Tensor | None]]
    inputs: list[Tensor | None]  # merged leaves
    logits: Tensor  # [N] or [N, 1]
    leaf: Tensor  # the same, as the losses see it, float32 or wider

    def backward_roots(self, slope: Tensor | None, others: Sequence[Tensor | None]) -> Tensor:
        """dL_D/dlogits in the logits' type, kept off zero where another player wants a ratio to it."""
        s = torch.zeros_like(self.leaf) if slope is None else slope
        if wanted := [g != 0 for g in others if g is not None]:
            small = torch.stack(wanted).any(0) & (s.abs() < LEAST[self.logits.dtype])
            s = torch.where(small, LEAST[self.logits.dtype], s)
        return s.to(self.logits.dtype)

    def cotangents(self, ratio: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The groups' tensors that made the inputs, each with its gradient by a loss of this ratio."""
        found = []
        for i, merged in enumerate(self.inputs):
            if merged is None or merged.grad is None:
                continue
            r = ratio.view(-1, *(1,) * (merged.dim() - 1)).to(merged.dtype)
            parts = (merged.grad * r).split([len(group[i]) for group in self.groups])  # type: ignore[arg-type]
            pairs = zip((group[i] for group in self.groups), parts, strict=True)
            found += [(t, grad) for t, grad in pairs if t is not None and t.requires_grad]
        return found


class Game:
    """The critics of one step and the one update of all players on them.

    one_pass: as above; otherwise each group is a pass of its own and each loss a backward.
    """

    def __init__(self, one_pass: bool):
        self.one_pass = one_pass
        self._judged: list[_Judgement] = []

    def judge(self, net: nn.Module, *groups: Inputs) -> list[Tensor]:
        """The logits of each group of samples.

        A group is the critic's input, or the tuple of its inputs (None where it has none).  Each logit is one
        number a sample.  Raises ValueError where it is not.
        """
        each = [(g,) if isinstance(g, Tensor) else tuple(g) for g in groups]
        if not self.one_pass:
            return [net(*group) for group in each]
        inputs = [_merged(parts) for parts in zip(*each, strict=True)]
        with torch.enable_grad():
            logits = net(*inputs)
        sizes = [_rows(group) for group in each]
        if logits.numel() != sum(sizes):
            raise ValueError(
                f"one pass needs a critic with one logit a sample, got {list(logits.shape)} for {sum(sizes)} samples"
            )
        wide = torch.promote_types(logits.dtype, torch.float32)
        leaf = logits.detach().to(wide).requires_grad_()
        self._judged.append(_Judgement(net, list(each), inputs, logits, leaf))
        return list(leaf.split(sizes))

    def minimize_at_once(self, *moves: tuple[Player | Sequence[Player], Tensor]) -> None:
        """One step of each player, or group of them, on its loss, all from the same point (base.minimize_at_once)."""
        if not self._judged:
            return minimize_at_once(*moves)
        judged, self._judged = self._judged, []
        groups = [([who] if isinstance(who, Player) else list(who), loss) for who, loss in moves]
        players = [player for group, _ in groups for player in group]
        for player in players:
            player.zero_grad()
        leaves = [j.leaf for j in judged]
        slopes = [
            torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True) for _, loss in groups
        ]
        movers = [_mover(groups, j.net) for j in judged]

        roots, inputs = [], []
        for i, (j, mover) in enumerate(zip(judged, movers, strict=True)):
            roots.append(
                j.backward_roots(slopes[mover][i], [s[i] for k, s in enumerate(slopes) if k != mover])
            )
            inputs += [t for t in j.inputs if t is not None and t.requires_grad]
        critics = sorted(set(movers))
        inputs += [p for k in critics for player in groups[k][0] for p in player.params]
        losses = [groups[k][1] for k in critics]  # for what in them is of the weights alone, a penalty
        ones = [torch.ones_like(loss) for loss in losses]
        backward([*(j.logits for j in judged), *losses], [*roots, *ones], inputs=inputs)

        others = [k for k in range(len(groups)) if k not in critics]
        for k in others:
            group, loss = groups[k]
            tensors, grads = [loss], [torch.ones_like(loss)]
            for j, root, slope in zip(judged, roots, slopes[k], strict=True):
                if slope is not None:
                    # 0 / 0: a sample that neither loss has an opinion of
                    ratio = torch.where(slope == 0, 0.0, slope / root.to(slope.dtype))
                    for tensor, grad in j.cotangents(ratio.flatten()):
                        tensors.append(tensor)
                        grads.append(grad)
            params = [p for player in group for p in player.params]
            backward(tensors, grads, inputs=params, retain_graph=k != others[-1])
        descend(players)


def coupling(net: nn.Module) -> str:
    """What lets the samples of a batch see each other in `net`, "" where nothing does."""
    for name, module in net.named_modules():
        if isinstance(module, _BatchNorm):
            return f"batch normalisation ({name})"
        if isinstance(module, MinibatchDiscrimination):
            return f"minibatch discrimination ({name})"
    return ""


def _merged(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    """One leaf for all groups."""
    given = [p for p in parts if p is not None]
    if not given:
        return None
    whole = given[0] if len(given) == 1 else torch.cat(given)
    return whole.detach().requires_grad_(any(p.requires_grad for p in given))


def _rows(group: Sequence[Tensor | None]) -> int:
    return next(len(t) for t in group if t is not None)


def _mover(groups: list[tuple[list[Player], Tensor]], net: nn.Module) -> int:
    """Which of the moves is the critic's own."""
    first = next(net.parameters())
    return next(
        k for k, (group, _) in enumerate(groups) for pl in group if any(p is first for p in pl.params)
    )


def refusal(system: System) -> str:
    """Why `system` cannot play by one pass; "" where it can."""
    critics = system.critics()
    if not critics:
        return "its players do not move all at once against a critic of single logits"
    for critic in critics:
        if found := coupling(critic):
            name = next(n for n, m in system.named_modules() if m is critic)
            return f"{found} couples the samples that {name} sees, so that their gradients are not their own"
    return ""
