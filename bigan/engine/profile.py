"""--profile: where the time of a few steps goes, as a trace for Perfetto and as a table to read."""

import os
from pathlib import Path
from typing import Any

import torch

from bigan.engine.progress import tell

SKIP, STEPS = 5, 5  # steps left out, in which caches fill, and steps looked at
PHASES = ("data", "step", "backward", "optimizer", "average")
ROWS = 30


class Profile:
    """While entered, looks at steps SKIP to SKIP + STEPS of this process; `between` is called before each step."""

    def __init__(self, folder: Path, device: torch.device, wanted: bool):
        self.folder, self.device, self.wanted = folder, device, wanted
        self._profiler: Any = None
        self._done = 0

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def between(self) -> None:
        if self.wanted and self._done == SKIP:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")
            kinds = [torch.profiler.ProfilerActivity.CPU]
            if self.device.type == "cuda":
                kinds.append(torch.profiler.ProfilerActivity.CUDA)
            self._profiler = torch.profiler.profile(activities=kinds)
            self._profiler.start()
        elif self._done == SKIP + STEPS:
            self.close()
        self._done += 1

    def close(self) -> None:
        """Write what was seen; fewer steps than hoped for are as good."""
        if self._profiler is None:
            return
        profiler, self._profiler = self._profiler, None
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        profiler.stop()
        self.folder.mkdir(exist_ok=True)
        profiler.export_chrome_trace(str(self.folder / "trace.json"))
        events = profiler.key_averages()
        key = "self_device_time_total" if self.device.type == "cuda" else "self_cpu_time_total"
        text = phases(events, self._done - SKIP) + "\n" + events.table(sort_by=key, row_limit=ROWS)
        (self.folder / "table.txt").write_text(text + "\n")
        tell(f"profile: {self.folder}/table.txt; trace.json beside it opens in ui.perfetto.dev")


def phases(events: Any, steps: int) -> str:
    """Milliseconds a step in each phase. The forward is what of a step is neither backward nor optimizer."""
    found = {e.key.removeprefix("bigan: "): e for e in events if e.key.startswith("bigan: ")}
    cpu = {name: found[name].cpu_time_total / 1e3 / steps for name in PHASES if name in found}
    gpu = {name: found[name].device_time_total / 1e3 / steps for name in cpu}
    for times in (cpu, gpu):
        inner = times.get("backward", 0.0) + times.get("optimizer", 0.0)
        times["forward"] = max(times.pop("step", 0.0) - inner, 0.0)
    total = sum(cpu.values()) or 1.0
    lines = [f"{'phase':<12}{'host ms':>12}{'share':>9}{'device ms':>12}   a step, mean of {steps}"]
    for name in sorted(cpu, key=lambda name: -cpu[name]):
        lines.append(f"{name:<12}{cpu[name]:>12.2f}{cpu[name] / total:>9.1%}{gpu[name]:>12.2f}")
    return "\n".join(lines) + "\n"
