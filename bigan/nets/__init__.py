"""Networks as functions of sizes; they know no system. One file a family."""

from bigan.nets import dcgan
from bigan.nets.age import age_encoder, age_generator
from bigan.nets.ali import ALICritic, ALIDecoder, ALIEncoder
from bigan.nets.dcgan import JointCritic, perceptron
from bigan.nets.minibatch import MinibatchDiscrimination
from bigan.nets.norm import SphereNormalize, Statistics, untracked
from bigan.nets.residual import Residual, ResidualDecoder, ResidualEncoder, Stack, side

__all__ = [
    "ALICritic",
    "ALIDecoder",
    "ALIEncoder",
    "JointCritic",
    "MinibatchDiscrimination",
    "Residual",
    "ResidualDecoder",
    "ResidualEncoder",
    "SphereNormalize",
    "Stack",
    "Statistics",
    "age_encoder",
    "age_generator",
    "dcgan",
    "perceptron",
    "side",
    "untracked",
]
