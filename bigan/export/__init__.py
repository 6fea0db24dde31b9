"""A trained encoder and generator on their own, in three lines:

import bigan
model = bigan.load("runs/introvae-digits-digits")  # a run, an exported folder or a Hugging Face id
x_r = model.reconstruct(x)                         # images [B, C, H, W] in [0, 1]
"""

from bigan.export.load import load
from bigan.export.model import Model
from bigan.export.programs import write_programs

__all__ = ["Model", "load", "write_programs"]
