"""Metrics while a run trains: the same few numbers at intervals, on the same images and codes."""

from bigan import data
from bigan.engine.config import Run
from bigan.engine.gallery import spread
from bigan.errors import UserError
from bigan.metrics import extractors
from bigan.metrics.compare import LEAST
from bigan.metrics.evaluate import How, evaluate
from bigan.metrics.report import Number
from bigan.systems.base import System


class During:
    """What `--eval-every` asks for, of up to `--eval-images` held-out images and as many samples."""

    def __init__(self, run: Run, held_out: data.Images):
        if len(held_out) < LEAST or run.eval_images < LEAST:
            few = min(len(held_out), run.eval_images)
            raise UserError(
                f"--eval-every needs {LEAST} held-out images or more (--holdout, --eval-images), got {few}"
            )
        at = spread(len(held_out), run.eval_images)
        self.real, self.labels = held_out.take(at), held_out.conditions(at)
        name = run.extractor
        self.extractor = None if name == "none" else extractors.load(name, run.torch_device)
        self.how = How(seed=run.seed, keep=True)

    def __call__(self, system: System) -> dict[str, float]:
        """Numbers by name, the extractor's with its label, and of how many images they are."""
        numbers: list[Number] = evaluate(system, self.real, self.extractor, self.how, labels=self.labels)
        return {**{n.name: n.value for n in numbers}, "eval_images": len(self.real)}
