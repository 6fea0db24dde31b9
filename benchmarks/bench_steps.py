"""A training step of four systems against a textbook trainer with the same networks, weights and images.

    pytest benchmarks/ -k step
    pytest benchmarks/ -k "step and ali"

The networks are those of the papers' CIFAR-10 settings, 32 px, batch 64. In turns in one process, medians.
`x bigan`, `x fast`: images a second over the textbook's, as the system is and with what --fast turns on here.
`floor`: the share of the fast step that is convolutions and matrix products, which nothing but fewer of them
would shorten. `MB`: the most memory, beyond weights and images, that tensors have in a step; `process MB`: that a
process takes in three, with what its allocator keeps.
`--compiled` adds the textbook with its networks through torch.compile: minutes of compiling each.
On a machine that others use too: OMP_NUM_THREADS=1 pytest benchmarks/ -k step --cpu-time
"""

import pytest
import torch
from step_cases import NAMES, check, peak, step
from timing import in_turns, ratio

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 64
VARIANTS = ("textbook", "bigan", "fast")
PRODUCTS = ("convolution", "conv_transpose", "mm", "addmm", "baddbmm")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks at it
def test_step(name, rows, request):
    check(name)
    compiled = ("compiled",) if request.config.getoption("--compiled") else ()
    variants = (*VARIANTS, *compiled)
    torch._functorch.config.donated_buffer = False  # which excludes IntroVAE's second backward
    calls = {variant: step(name, variant, BATCH, DEVICE) for variant in variants}
    cpu_time = request.config.getoption("--cpu-time")
    times = in_turns(calls, DEVICE, budget=20.0, least=3, cpu_time=cpu_time)
    row = {"system": name, "batch": BATCH, "clock": "process" if cpu_time else "wall"}
    for variant in variants:
        row[f"{variant} img/s"] = BATCH / times[variant]["us"] * 1e6
    row |= {f"x {v}": ratio(times, "textbook", v) for v in ("bigan", "fast", *compiled)}
    row["floor"] = share_of_products(calls["fast"])
    for variant in variants:
        row[f"{variant} MB"], row[f"{variant} process MB"] = peak(name, variant, BATCH, DEVICE)
    rows.append(row)


def share_of_products(call) -> float:
    """Of the step's time, that in convolutions and matrix products."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if DEVICE == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profiler:
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
    key = "self_device_time_total" if DEVICE == "cuda" else "self_cpu_time_total"
    events = profiler.key_averages()
    total = sum(getattr(e, key) for e in events)
    products = [e for e in events if e.key.startswith("aten::") and any(p in e.key for p in PRODUCTS)]
    return sum(getattr(e, key) for e in products) / total
