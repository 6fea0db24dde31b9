"""The reconstruction inception dissimilarity of PAGAN's paper.  Alanov et al. 2018, arXiv:1810.04920."""

import torch
from torch import Tensor

from bigan.metrics import checks
from bigan.metrics.report import Estimate


def rid(real: Tensor, rec: Tensor, parts: int = 10) -> Estimate:
    """exp E KL(p(y|x) || p(y|G(E(x)))) in each of `parts` consecutive parts.  [N, K], [N, K] -> Estimate

    real, rec: a classifier's logits of images and of their reconstructions, in the same order (the paper's:
    CIFAR-10's test set, not shuffled).  value, spread: mean and standard deviation over the parts.  1 where
    the classifier sees no difference, else more; lower is better.  N >= parts, K >= 2.
    """
    checks.need(parts >= 1, "rid", "parts must be 1 or more", parts)
    checks.logits("rid", "real", real, least=parts)
    checks.logits("rid", "rec", rec, least=parts)
    same = real.shape == rec.shape
    checks.need(same, "rid", "rec must match real", f"{list(rec.shape)} for {list(real.shape)}")
    scores = []
    for i in range(parts):
        part = slice(i * len(real) // parts, (i + 1) * len(real) // parts)
        log_p, log_q = real[part].double().log_softmax(1), rec[part].double().log_softmax(1)  # [n, K]
        scores.append((log_p.exp() * (log_p - log_q)).sum(1).mean().exp())
    found = torch.stack(scores)
    return Estimate(
        found.mean().item(), found.std(correction=0).item(), f"standard deviation of {parts} parts"
    )
