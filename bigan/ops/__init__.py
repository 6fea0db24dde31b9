"""The operators: fused losses and their building blocks, each with four implementations.

Dimension letters in comments and docstrings: B batch, Z latent, C channels, H height, W width, K features.
"""

import pkgutil

from bigan.ops._registry import BackendError, attach, backends, names, reference, use_backend

attach([f"{__name__}.{m.name}" for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")])

from bigan.ops._augment import Draw  # noqa: E402
from bigan.ops.augment_pair import augment_draw, augment_pair  # noqa: E402
from bigan.ops.feature_l2 import feature_l2  # noqa: E402
from bigan.ops.gather_images import gather_images  # noqa: E402
from bigan.ops.latent_match import latent_match  # noqa: E402
from bigan.ops.logistic_adversarial import logistic_adversarial  # noqa: E402
from bigan.ops.minibatch_discrimination import minibatch_discrimination  # noqa: E402
from bigan.ops.moment_kl import moment_kl  # noqa: E402
from bigan.ops.philox_normal import philox_normal  # noqa: E402
from bigan.ops.reparam_kl import gaussian_kl, reparam_kl  # noqa: E402
from bigan.ops.spectral_sigma import spectral_sigma  # noqa: E402
from bigan.ops.sphere_normalize import sphere_normalize  # noqa: E402
from bigan.ops.ternary_adversarial import ternary_adversarial  # noqa: E402

__all__ = [
    "BackendError",
    "Draw",
    "augment_draw",
    "augment_pair",
    "backends",
    "feature_l2",
    "gather_images",
    "gaussian_kl",
    "latent_match",
    "logistic_adversarial",
    "minibatch_discrimination",
    "moment_kl",
    "names",
    "philox_normal",
    "reference",
    "reparam_kl",
    "spectral_sigma",
    "sphere_normalize",
    "ternary_adversarial",
    "use_backend",
]
