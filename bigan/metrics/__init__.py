"""Metrics of generated images, reconstructions and codes, on given features or with an extractor.

The mathematics is in functions of tensors (`frechet_distance`, `rid`, ...); `extractors.load` and `extract`
make features of images; `compare` measures two sets of images, `evaluate` a trained system.  Nothing is ever
downloaded.  docs/metrics.md has the definitions.
"""

from bigan.metrics.checks import MetricError
from bigan.metrics.extract import Features, extract
from bigan.metrics.frechet import Moments, frechet_distance
from bigan.metrics.inception_score import inception_score
from bigan.metrics.kernel import kernel_distance
from bigan.metrics.modes import modes
from bigan.metrics.neighbours import neighbours
from bigan.metrics.path_length import path_length
from bigan.metrics.pixels import pixel_errors
from bigan.metrics.report import Estimate, Number
from bigan.metrics.rid import rid

__all__ = [
    "Estimate",
    "Features",
    "MetricError",
    "Moments",
    "Number",
    "extract",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "modes",
    "neighbours",
    "path_length",
    "pixel_errors",
    "rid",
]
