"""The training loop, the same for every system, and exact: killed and resumed, a run ends in the same bits.

A step is a pure function of the state (state.py) and its number: noise (noise.py) and data order depend on
(seed, step) alone. So a checkpoint holds the state and a number, and no random state has to be saved.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch

import bigan
from bigan import _native, data, ranks, systems
from bigan.engine import checkpoint, fast, memory
from bigan.engine.checkpoint import NotSaved
from bigan.engine.config import Run, to_json
from bigan.engine.gallery import Gallery, spread
from bigan.engine.graphs import GraphedStep
from bigan.engine.initial import start_from
from bigan.engine.loadrun import build
from bigan.engine.meter import Meter, NonFinite
from bigan.engine.noise import Noise
from bigan.engine.profile import Profile
from bigan.engine.progress import Progress, tell
from bigan.engine.rundir import Elsewhere, RunDir
from bigan.engine.schedule import Clock, Schedule
from bigan.engine.signals import Signals
from bigan.engine.state import State, first_non_finite
from bigan.errors import UserError
from bigan.systems.base import System, phase

PREPARE = 500  # training images, at most, that a system may look at before its first step


def train(system_name: str, config: Any, run: Run, preset: str = "") -> Path:
    """Train a system, or go on with the run in `run.out`; returns that directory.

    SIGTERM saves and returns; Ctrl-C saves and raises KeyboardInterrupt. UserError for what the user can
    mend; where that lies in the settings, before anything is written.
    """
    device = run.torch_device
    module = systems.load(system_name)
    images = data.load(run.data, size=run.size, skip_bad=run.skip_bad, cache=run.cache)
    with ranks.joined(device), exact(device):
        ranks.share(run.batch)  # refused before anything is built
        system = build(module, config, images.shape, run.seed).to(device)
        images = data.conditioned(images, system.labels)
        seen, held_out = data.split(images, run.held_out, run.seed)
        if not len(held_out):
            raise UserError(f"--holdout {run.holdout:g} leaves no image to test on")
        run = fast.resolve(run, system, device, tell)
        fast.prepare(run, system)
        if run.recompute:
            memory.recompute(system)
        dealt = ranks.index(), ranks.count()
        batches = data.Batches(seen, run.batch, run.seed, device, run.flip, system.data_range, *dealt)
        with torch.no_grad():
            first = seen.take(spread(len(seen), PREPARE)).to(device)
            system.prepare(data.scale(first, system.data_range))
        record: dict[str, Any] = {
            "bigan": bigan.__version__,
            "system": system_name,
            "preset": preset,
            "image_shape": list(images.shape),
            "config": to_json(config),
            "run": to_json(run),
            "data": {"name": images.name, "fingerprint": images.fingerprint},
        }
        if system.labels:
            record["data"]["attributes"] = images.attribute_names
            record["data"]["attributes_fingerprint"] = images.attributes_fingerprint
        if run.init_from:
            record["init"] = start_from(system, run)
        during = _during(run, held_out)
        rundir = Elsewhere(run.out) if ranks.index() else RunDir(run.out, record, run.tensorboard)
        with rundir, memory.advice(run):
            Training(run, system, batches, Gallery(held_out, device), rundir, during).go(system_name)
    return run.out


class Training:
    """What one process does for a run."""

    def __init__(
        self,
        run: Run,
        system: System,
        batches: data.Batches,
        gallery: Gallery,
        rundir: RunDir | Elsewhere,
        during: Any = None,
    ):
        self.during = during  # metrics at intervals: a System -> numbers by name
        self.run, self.system, self.batches, self.gallery, self.rundir = run, system, batches, gallery, rundir
        self.device = gallery.device
        self.when = Schedule.of(run, batches.batch)
        self.state = State(system, run.ema)
        fast.equip(run, self.state.players, self.device)
        self.noise = Noise(run.seed, self.device, ranks.index(), ranks.count())
        self.picture_noise = Noise(run.seed, self.device)
        self.meter = Meter()
        self.clock = Clock(0.0)
        self.saved: int | None = None  # step of the newest checkpoint

    def go(self, title: str) -> None:
        """From the newest checkpoint to the end, or to a signal."""
        start = self.resume()
        total, batch = self.when.total, self.when.batch
        if start >= total:
            at = f"{self.rundir.path} is finished, at {self.when.kimg(start):g} kimg"
            tell(f"{at}; a larger --kimg continues it")
            return
        with Signals() as signals, Progress(title, total * batch, start * batch) as bar:
            try:
                done = self.loop(start, signals, bar)
            except NonFinite as bad:
                raise self.stopped(bad) from None
        if done < total:
            tell(f"stopped and saved at {self.when.kimg(done):g} kimg; the same command goes on")
            if signals.caught == signal.SIGINT:
                raise KeyboardInterrupt

    def loop(self, start: int, signals: Signals, bar: Progress) -> int:
        """Train; returns the steps done at the end."""
        when, players, ema = self.when, self.state.players, self.state.ema
        if start == 0:
            self.report(0, bar)
        if self.run.compile:
            fast.compile_networks(self.system)
        graphed = GraphedStep(self.step, self.device) if self.run.cuda_graph else None
        wanted = self.run.profile and ranks.index() == 0
        with Profile(self.rundir.path / "profile", self.device, wanted) as profile:
            for step in range(start, when.total):
                with self.clock.stopped():
                    profile.between()
                kimg = when.kimg(step)
                for player in players.values():
                    player.scale_lr(self.system.lr_scale(kimg))
                with phase("data"):
                    x = fast.laid_out(self.run, self.batches(step))
                    labels = self.batches.labels(step)
                self.noise.at(step)
                with phase("step"):
                    kind = self.system.kind(kimg, when.batch)
                    terms = graphed(x, kimg, kind, *labels) if graphed else self.step(x, kimg, *labels)
                self.meter.update(step, terms)
                if ema:
                    with phase("average"):
                        ema.update(when.kimg(step + 1), when.kimg(1))
                self.clock.count(when.batch)
                bar.advance(when.batch)
                late = self.clock.minutes_unsaved > self.run.checkpoint_minutes
                signals.caught, overdue = ranks.agreed(signals.caught, int(late))
                self.report(step + 1, bar, stop=bool(signals.caught), overdue=bool(overdue))
                if signals.caught:
                    return step + 1
        return when.total

    def step(self, x: torch.Tensor, kimg: float, *labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of the system, as the run has it."""
        self.noise.rewind()
        with fast.autocast(self.run, self.device):
            return self.system.step(x, self.noise, *labels, kimg=kimg, **self.state.players)

    def report(self, done: int, bar: Progress, stop: bool = False, overdue: bool = False) -> None:
        """After `done` steps, what is due: terms, then pictures, then a checkpoint of all that."""
        when, images = self.when, done * self.when.batch
        show, save = when.sample_due(done), when.save_due(done) or stop or overdue
        measure = self.during is not None and when.eval_due(done)
        line: dict[str, float] = {}
        if show or save or measure:
            self.meter.fold()  # nothing is shown or kept of a state that came from NaN
        if when.log_due(done):
            line = {**self.meter.read(), "images_per_s": self.clock.rate()}
        with self.clock.stopped():
            if show and ranks.index() == 0:
                system = self.state.ema.system if self.state.ema else self.system
                if system.has_encoder():
                    line["val_mse"] = self.gallery.val_mse(system, when.batch)
                for name, picture in self.gallery.look(system, self.picture_noise, when.batch).items():
                    self.rundir.picture(name, picture, images)
            if measure and ranks.index() == 0:
                line |= self.during(self.state.ema.system if self.state.ema else self.system)
            if line:
                line = {"step": done, "kimg": when.kimg(done), **line, "seconds": self.clock.seconds}
                self.rundir.log(line, images)
                bar.show(line)
            if save:
                self.save(done, must=stop or done == when.total)

    def save(self, done: int, must: bool) -> None:
        """A checkpoint after `done` steps, never of a state that is not finite. Of all ranks' equal states one."""
        self.clock.saved()
        if ranks.index():
            return
        tensors = self.state.tensors()
        if bad := first_non_finite(tensors):
            raise NonFinite(done - 1, bad)
        meta = {
            "images": done * self.when.batch,
            "seconds": self.clock.seconds,
            "meter": self.meter.totals,
            "lr": self.state.settings(),
            "machine": machine(self.device),
        }
        try:
            self.rundir.save(done, tensors, meta, self.run.keep)
            self.saved = done
        except NotSaved as error:
            if must:
                last = f"from {self.when.kimg(self.saved):g} kimg" if self.saved else "from the start"
                raise NotSaved(f"{error}; once that is mended, the same command goes on {last}") from error
            tell(f"{error}; training goes on and tries again at the next interval")

    def resume(self) -> int:
        """Load the newest whole checkpoint, if there is one; returns the steps it has done."""
        found = checkpoint.shared(self.rundir.latest())
        if found is None:
            self.rundir.rewind(0, 0)
            return 0
        if found.step < self.when.total:
            meta = found.meta
            self.state.load(found.tensors, meta["lr"])
            self.meter.totals = {name: (total, steps) for name, (total, steps) in meta["meter"].items()}
            self.clock = Clock(meta["seconds"])
            self.saved = found.step
            self.rundir.rewind(meta["log_bytes"], meta["images"])
            self.rundir.write_config()  # --kimg, and what else may change, as it is now
            tell(f"resuming {self.rundir.path} at {self.when.kimg(found.step):g} kimg")
            if (then := meta["machine"]) != (now := machine(self.device)):
                tell(f"trained so far with {then}, now with {now}: exact up to rounding, not to the bit")
        return found.step

    def stopped(self, bad: NonFinite) -> UserError:
        """What to tell the user of a training that went wrong."""
        at = f"step {bad.step} ({self.when.kimg(bad.step):g} kimg)"
        last = f"last good checkpoint: {self.when.kimg(self.saved):g} kimg" if self.saved else "no checkpoint"
        return UserError(
            f"training stopped: {bad.term} is {bad.value} at {at}; {last}. "
            "The same command would end the same way: try a smaller --lr, and another --out."
        )


def _during(run: Run, held_out: data.Images) -> Any:
    """The metrics of --eval-every, which import what nothing else here needs."""
    if not run.eval_every:
        return None
    from bigan.metrics.during import During

    return During(run, held_out)


@contextlib.contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Only kernels that give the same bits each time. On a CPU all do, for a given number of threads."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    cudnn, debug = torch.backends.cudnn, cast(Any, torch.utils.deterministic)
    before = cudnn.benchmark, torch.are_deterministic_algorithms_enabled(), debug.fill_uninitialized_memory
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.benchmark = False  # its choice of algorithm depends on the machine's mood
    torch.use_deterministic_algorithms(True, warn_only=True)
    debug.fill_uninitialized_memory = False  # a debugging aid that costs a pass
    try:
        yield
    finally:
        cudnn.benchmark, enabled, debug.fill_uninitialized_memory = before
        torch.use_deterministic_algorithms(enabled, warn_only=warned)


def machine(device: torch.device) -> str:
    """What the last bits of a result depend on besides seed and step."""
    kernels = os.environ.get("BIGAN_BACKEND", "auto")
    if kernels == "auto" and _native.status().get(device.type, "none") is None:
        kernels = "native"
    made = f"bigan {bigan.__version__} ({kernels} kernels), torch {torch.__version__}"
    together = f", {ranks.count()} processes" if ranks.count() > 1 else ""
    if device.type == "cuda":
        return f"{made}, {torch.cuda.get_device_name(device)}{together}"
    chip = torch.backends.cpu.get_cpu_capability()  # of PyTorch's kernels: AVX2, AVX512, ...
    return f"{made}, {device.type} {chip}, {torch.get_num_threads()} threads{together}"
