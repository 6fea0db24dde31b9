"""The Inception score, of any classifier's logits.  Salimans et al. 2016, arXiv:1606.03498."""

import math

import torch
from torch import Tensor

from bigan.metrics import checks
from bigan.metrics.report import Estimate


def inception_score(logits: Tensor, splits: int = 10) -> Estimate:
    """exp E KL(p(y|x) || p(y)) in each of `splits` consecutive parts.  [N, K] -> Estimate

    value, spread: mean and standard deviation over the parts, as the authors' code has them.  From 1, where
    all images give the same classes, to K.  The images must be in random order; N >= splits, K >= 2.
    """
    checks.need(splits >= 1, "inception_score", "splits must be 1 or more", splits)
    checks.logits("inception_score", "logits", logits, least=splits)
    scores = []
    for i in range(splits):
        log_p = logits[i * len(logits) // splits : (i + 1) * len(logits) // splits].double().log_softmax(1)
        log_q = log_p.logsumexp(0) - math.log(len(log_p))  # of the mean of p, [K]
        scores.append((log_p.exp() * (log_p - log_q)).sum(1).mean().exp())
    found = torch.stack(scores)
    return Estimate(
        found.mean().item(), found.std(correction=0).item(), f"standard deviation of {splits} splits"
    )
