"""The layer through which a critic sees its batch."""

import torch
from torch import Tensor, nn

from bigan import ops, ranks
from bigan.ops import _checks


class MinibatchDiscrimination(nn.Module):
    """Shows a critic how close each sample is to the others of its batch.  [B, N] -> [B, N + kernels]

    Salimans et al. 2016 (arXiv:1606.03498, section 3.2) as IAN has it (Brock et al. 2016, arXiv:1609.07093;
    the authors' code): activations A [B, K, D] = x W with W = theta exp(s) / |theta|, the norm over the N
    inputs; the output is the input and, beside it, `bigan.ops.minibatch_discrimination(A)` plus a bias.
    theta [N, K, D] starts as N(0, 0.05^2), s [K, D] as 0, the bias [K] as -1.  The batch couples its samples:
    real and generated ones are a call each.
    """

    def __init__(self, in_features: int, kernels: int = 500, dims: int = 5):
        super().__init__()
        self.theta = nn.Parameter(0.05 * torch.randn(in_features, kernels, dims))
        self.log_scale = nn.Parameter(torch.zeros(kernels, dims))
        self.bias = nn.Parameter(torch.full((kernels,), -1.0))

    def forward(self, x: Tensor) -> Tensor:
        inputs, *form = self.theta.shape
        if x.dim() != 2 or x.shape[1] != inputs:
            _checks.fail("MinibatchDiscrimination", "x", f"be [B, {inputs}]", x)
        activations = (x @ self.theta.flatten(1)).unflatten(1, form)  # [B, K, D]
        activations = activations * (self.log_scale.exp() / self.theta.norm(dim=0))
        if self.training:  # close to all of the batch's others, not to those of this process alone
            near = ranks.own(ops.minibatch_discrimination(ranks.gathered(activations)))
        else:
            near = ops.minibatch_discrimination(activations)
        return torch.cat([x, near + self.bias], dim=1)

    def extra_repr(self) -> str:
        return "{}, kernels={}, dims={}".format(*self.theta.shape)
