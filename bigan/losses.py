"""Losses as torch.nn modules, for training loops that know nothing of the rest of bigan.

criterion = AdversarialLoss("hinge")
loss_d, loss_g, accuracy = criterion(critic(x), critic(generator(z)))
"""

from collections.abc import Sequence

from torch import Tensor, nn

from bigan import ops
from bigan.ops import _checks
from bigan.ops.feature_l2 import DISTANCES, REDUCTIONS
from bigan.ops.latent_match import MATCHES
from bigan.ops.logistic_adversarial import FORMS, GENERATORS
from bigan.ops.moment_kl import DIMS, DIRECTIONS, VARIANTS
from bigan.ops.reparam_kl import check_options


class AdversarialLoss(nn.Module):
    """Both players' losses of a critic with one logit; see `bigan.ops.logistic_adversarial`.

    form: "logistic", "hinge", "least_squares" or "wasserstein".
    generator: "non_saturating", "saturating", or "swapped" (ALI: real samples too, with their label swapped).
    label_smoothing: the critic's target for real is 1 - label_smoothing ("logistic" alone).

    forward(real, fake), logits of any shape -> (loss_d, loss_g, accuracy [2]).
    """

    def __init__(
        self, form: str = "logistic", generator: str = "non_saturating", label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        _checks.choice("AdversarialLoss", "form", form, FORMS)
        _checks.choice("AdversarialLoss", "generator", generator, GENERATORS)
        _checks.fraction("AdversarialLoss", "label_smoothing", label_smoothing)
        if label_smoothing and form != "logistic":
            _checks.fail("AdversarialLoss", "label_smoothing", f"be 0 with form={form!r}", label_smoothing)
        self.form, self.generator, self.label_smoothing = form, generator, label_smoothing

    def forward(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ops.logistic_adversarial(
            real, fake, form=self.form, generator=self.generator, smoothing=self.label_smoothing
        )

    def extra_repr(self) -> str:
        return f"{self.form!r}, {self.generator!r}, label_smoothing={self.label_smoothing}"


class TernaryAdversarialLoss(nn.Module):
    """Both players' losses of IAN's critic, which has three classes; see `bigan.ops.ternary_adversarial`.

    label_smoothing: of the critic's loss, as in torch.nn.CrossEntropyLoss.

    forward(real, reconstruction, generated), logits [B, 3] -> (loss_d, loss_g, accuracy [3]).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        _checks.fraction("TernaryAdversarialLoss", "label_smoothing", label_smoothing)
        self.label_smoothing = label_smoothing

    def forward(
        self, real: Tensor, reconstruction: Tensor, generated: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return ops.ternary_adversarial(real, reconstruction, generated, smoothing=self.label_smoothing)

    def extra_repr(self) -> str:
        return f"label_smoothing={self.label_smoothing}"


class _Gaussian(nn.Module):
    def __init__(
        self,
        dims: str = "sum",
        reduction: str = "mean",
        margin: float | None = None,
        hinge: str = "batch",
        logstd: bool = False,
    ) -> None:
        super().__init__()
        check_options(type(self).__name__, logstd, dims, reduction, margin, hinge)
        self.dims, self.reduction, self.margin, self.hinge, self.logstd = (
            dims, reduction, margin, hinge, logstd
        )  # fmt: skip

    def _options(self) -> dict:
        names = ("dims", "reduction", "margin", "hinge", "logstd")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._options().items())


class GaussianKL(_Gaussian):
    """KL(N(mu, sigma^2) || N(0, I)) of an encoder's outputs, or its hinge; see `bigan.ops.gaussian_kl`.

    dims: "sum" or "mean" over the latent dimensions.
    reduction: "mean", "sum" or "none" over the batch.
    margin, hinge: [margin - KL]+ of the batch mean ("batch") or of each sample ("sample"), IntroVAE's.
    logstd: the second input is log sigma, not log sigma^2.

    forward(mu, logvar), [B, ...] both -> the KL in nats, [] (or [B]).
    """

    def forward(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return ops.gaussian_kl(mu, logvar, **self._options())


class ReparamKL(_Gaussian):
    """z = mu + sigma eps and its KL in one pass; options as `GaussianKL`; see `bigan.ops.reparam_kl`.

    forward(mu, logvar, eps=None), [B, ...] all -> (z like mu, the KL).  Without eps the kernel draws it.
    """

    def forward(self, mu: Tensor, logvar: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return ops.reparam_kl(mu, logvar, eps, **self._options())


class MomentKL(nn.Module):
    """KL of a batch's moments from N(0, I), as AGE has it; see `bigan.ops.moment_kl`.

    forward(codes [B, ...]) -> KL in nats, [].
    """

    def __init__(self, variant: str = "correct", direction: str = "qp", dims: str = "mean") -> None:
        super().__init__()
        _checks.choice("MomentKL", "variant", variant, VARIANTS)
        _checks.choice("MomentKL", "direction", direction, DIRECTIONS)
        _checks.choice("MomentKL", "dims", dims, DIMS)
        self.variant, self.direction, self.dims = variant, direction, dims

    def forward(self, codes: Tensor) -> Tensor:
        return ops.moment_kl(codes, variant=self.variant, direction=self.direction, dims=self.dims)[0]

    def extra_repr(self) -> str:
        return f"{self.variant!r}, {self.direction!r}, {self.dims!r}"


class LatentMatch(nn.Module):
    """How far two batches of codes are apart; see `bigan.ops.latent_match`.

    match: "cos" (AGE's), "cosine", "l1" or "l2".

    forward(a, b), both [B, ...] -> [].
    """

    def __init__(self, match: str = "cos") -> None:
        super().__init__()
        _checks.choice("LatentMatch", "match", match, MATCHES)
        self.match = match

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return ops.latent_match(a, b, self.match)

    def extra_repr(self) -> str:
        return repr(self.match)


class FeatureLoss(nn.Module):
    """The weighted distance of two lists of features, or of two batches of images.

    See `bigan.ops.feature_l2`.

    weights: one number for each pair of tensors, or one for all.
    distance: "l2" or "l1".
    reduction: "mean", "sum", or "batchmean": the sum over a sample's elements, averaged over the batch.

    forward(a, b), lists of tensors or a tensor each -> loss
    """

    def __init__(
        self,
        weights: float | Sequence[float] | None = None,
        distance: str = "l2",
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        _checks.choice("FeatureLoss", "distance", distance, DISTANCES)
        _checks.choice("FeatureLoss", "reduction", reduction, REDUCTIONS)
        self.weights, self.distance, self.reduction = weights, distance, reduction

    def forward(self, a: Tensor | Sequence[Tensor], b: Tensor | Sequence[Tensor]) -> Tensor:
        return ops.feature_l2(a, b, self.weights, distance=self.distance, reduction=self.reduction)[0]

    def extra_repr(self) -> str:
        return f"weights={self.weights}, distance={self.distance!r}, reduction={self.reduction!r}"
