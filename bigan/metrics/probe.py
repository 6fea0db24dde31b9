"""What a linear classifier reads from codes: the protocol of IAN's and ALI's tables, and a plain linear probe.

Dumoulin et al. 2016, arXiv:1606.00704, sec. 4.3, after Radford et al. 2015: an L2-SVM on 1000 labelled
training images, uniform over the classes; the penalty chosen on validation images; mean over repeated draws.
"""

import numpy as np
from torch import Tensor

from bigan.metrics import checks
from bigan.metrics.report import Estimate

C = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def svm_error(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    labels: int = 1000,
    draws: int = 10,
    seed: int = 0,
) -> Estimate:
    """Error of L2-SVMs (one against the rest, squared hinge) on codes.  [N, D], [N], [M, D], [M] -> Estimate

    Each draw takes `labels` training images, as many of each class, and standardises the codes by them.  The
    penalty C is the best of 1e-4, ..., 10 on the training images that the first draw left out (up to 10,000).
    value, spread: mean and standard deviation of the test error over draws, in 0 to 1.
    """
    x, y, x_t, y_t = _arrays(train, train_labels, test, test_labels, "svm_error")
    rand = np.random.default_rng(seed)
    checks.need(draws >= 1, "svm_error", "draws must be 1 or more", draws)
    picks = [_balanced(y, labels, rand, "svm_error") for _ in range(draws)]
    rest = rand.permutation(np.setdiff1d(np.arange(len(y)), picks[0]))[:10_000]
    checks.need(len(rest) > 0, "svm_error", f"{labels} labels must leave images to choose C on", len(y))
    errors = [_svm(c, x[picks[0]], y[picks[0]], x[rest], y[rest]) for c in C]
    best = C[int(np.argmin(errors))]
    found = [_svm(best, x[pick], y[pick], x_t, y_t) for pick in picks]
    of = f"standard deviation of {draws} draws of {labels} labels; C = {best:g}"
    return Estimate(float(np.mean(found)), float(np.std(found)), of)


def linear_probe(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """Test accuracy of logistic regression on all codes, standardised, without choice of a penalty.

    [N, D], [N], [M, D], [M] -> 0 to 1
    """
    from sklearn.linear_model import LogisticRegression

    x, y, x_t, y_t = _arrays(train, train_labels, test, test_labels, "linear_probe")
    x, x_t = _standard(x, x_t)
    return float(LogisticRegression(max_iter=1000).fit(x, y).score(x_t, y_t))


def _svm(c: float, x: np.ndarray, y: np.ndarray, x_t: np.ndarray, y_t: np.ndarray) -> float:
    from sklearn.svm import LinearSVC

    x, x_t = _standard(x, x_t)
    model = LinearSVC(C=c, loss="squared_hinge", dual=len(x) < x.shape[1], random_state=0, max_iter=5000)
    return 1 - float(model.fit(x, y).score(x_t, y_t))


def _standard(x: np.ndarray, x_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, std = x.mean(0), x.std(0)
    std[std == 0] = 1
    return (x - mean) / std, (x_t - mean) / std


def _balanced(y: np.ndarray, labels: int, rand: np.random.Generator, metric: str) -> np.ndarray:
    """`labels` indices, as many of each class (the first ones get the remainder)."""
    classes = np.unique(y)
    share = [labels // len(classes) + (i < labels % len(classes)) for i in range(len(classes))]
    pools = [np.flatnonzero(y == c) for c in classes]
    for c, pool, n in zip(classes, pools, share, strict=True):
        what = f"{labels} labels need {n} training images of class {c}"
        checks.need(0 < n <= len(pool), metric, what, len(pool))
    return np.concatenate([rand.choice(p, n, replace=False) for p, n in zip(pools, share, strict=True)])


def _arrays(x: Tensor, y: Tensor, x_t: Tensor, y_t: Tensor, metric: str) -> tuple[np.ndarray, ...]:
    for name, codes, labels in (("train", x, y), ("test", x_t, y_t)):
        checks.table(metric, name, codes, least=1)
        ok = labels.ndim == 1 and len(labels) == len(codes) and not labels.is_floating_point()
        what = f"{name}_labels must be whole numbers, one for each of {len(codes)} codes"
        checks.need(ok, metric, what, f"{list(labels.shape)} {str(labels.dtype).removeprefix('torch.')}")
    checks.same_columns(metric, x, x_t)
    kinds = len(y.unique())
    checks.need(kinds > 1, metric, "train_labels must have two classes or more", kinds)
    return tuple(
        t.cpu().double().numpy() if t.is_floating_point() else t.cpu().numpy() for t in (x, y, x_t, y_t)
    )
