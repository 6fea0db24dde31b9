"""Networks as functions of sizes; they know no system. One file a family."""

from bigan.nets import dcgan
from bigan.nets.dcgan import JointCritic, perceptron
from bigan.nets.age import age_encoder, age_generator
from bigan.nets.ali import ALICritic, ALIDecoder, ALIEncoder
from bigan.nets.norm import SphereNormalize, Statistics, untracked
from bigan.nets.residual import Residual, ResidualDecoder, ResidualEncoder, side

__all__ = [
    "JointCritic",
    "ALICritic",
    "ALIDecoder",
    "ALIEncoder",
    "Residual",
    "ResidualDecoder",
    "ResidualEncoder",
    "SphereNormalize",
    "Statistics",
    "dcgan",
    "perceptron",
    "age_encoder",
    "age_generator",
    "side",
    "untracked",
]
