"""Networks as functions of sizes; they know no system. One file a family."""

from bigan.nets import dcgan
from bigan.nets.dcgan import JointCritic, perceptron
from bigan.nets.minibatch import MinibatchDiscrimination
from bigan.nets.norm import SphereNormalize, Statistics, untracked
from bigan.nets.residual import Residual, ResidualDecoder, ResidualEncoder, side

__all__ = [
    "JointCritic",
    "MinibatchDiscrimination",
    "Residual",
    "ResidualDecoder",
    "ResidualEncoder",
    "SphereNormalize",
    "Statistics",
    "dcgan",
    "perceptron",
    "side",
    "untracked",
]
