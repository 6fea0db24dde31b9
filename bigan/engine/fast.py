"""--fast and the switches that it is made of: what a device and a system support, and turning it on."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bigan.engine.config import Run
from bigan.engine.quickconv import use_quick_convs
from bigan.errors import UserError
from bigan.systems import onepass
from bigan.systems.base import Player, System

SWITCHES = ("one_pass", "channels_last", "fused", "bf16", "compile", "cuda_graph")


def resolve(run: Run, system: System, device: torch.device, tell: Callable[[str], None]) -> Run:
    """The run with --fast spelt out, for config.json; UserError where a switch that was asked for cannot be had."""
    wanted = {name: getattr(run, name) for name in SWITCHES}
    reasons = {name: unsupported(name, system, device) for name in SWITCHES}
    for name, on in wanted.items():
        if on and reasons[name]:
            raise UserError(f"--{name.replace('_', '-')} cannot be had here: {reasons[name]}")
    if wanted["compile"] and wanted["cuda_graph"]:
        raise UserError("--compile and --cuda-graph exclude each other; without a compiler, take the graph")
    if not run.fast:
        return run
    chosen: dict[str, Any] = {name: wanted[name] or not reasons[name] for name in SWITCHES}
    if chosen["compile"] and chosen["cuda_graph"] and not wanted["cuda_graph"]:
        chosen["cuda_graph"], reasons["cuda_graph"] = False, "--compile was asked for"
    elif chosen["compile"] and not wanted["compile"]:
        chosen["compile"], reasons["compile"] = False, "a CUDA graph is used, and starts at once"
    on = [name for name in SWITCHES if chosen[name]]
    off = [f"{name} ({reasons[name]})" for name in SWITCHES if not chosen[name]]
    tell(f"fast: {', '.join(on)}" + (f"; without {'; '.join(off)}" if off else ""))
    return dataclasses.replace(run, **chosen)


def unsupported(name: str, system: System, device: torch.device) -> str:
    """Why a switch is of no use on this device for this system; "" where it is."""
    cuda = device.type == "cuda"
    if name == "one_pass":
        return onepass.refusal(system)
    if name == "bf16":
        if cuda:
            return "" if torch.cuda.get_device_capability(device) >= (8, 0) else "the GPU has no bfloat16"
        return "" if torch.cpu._is_amx_tile_supported() else "the CPU multiplies bfloat16 no faster (no AMX)"
    if name == "compile":
        if system.second_derivatives:
            return "its loss has the gradient of a network in it, which torch.compile does not differentiate"
        if not cuda and not any(map(shutil.which, ("g++", "clang++", "c++"))):
            return "there is no C++ compiler"
        return "" if cuda else "on a CPU it takes minutes and gains little"
    if name == "cuda_graph":
        return "" if cuda else "no GPU"
    return ""


def prepare(run: Run, system: System) -> None:
    """What changes the system, before its players are made: also for one that is then loaded from a checkpoint."""
    system.one_pass = run.one_pass
    if run.channels_last:
        for t in (*system.parameters(), *system.buffers()):  # as .to does, which tensors without data refuse
            if t.dim() == 4:
                t.data = t.data.contiguous(memory_format=torch.channels_last)
        if not system.second_derivatives:  # which these convolutions do not have
            use_quick_convs(system)


def equip(run: Run, players: dict[str, Player], device: torch.device) -> None:
    """What changes the optimisers."""
    for player in players.values():
        player.clip = run.clip
        for group in player.opt.param_groups:
            if run.fused:
                group.update(fused=True, foreach=False)
            if run.cuda_graph:
                group.update(
                    capturable=device.type == "cuda", lr=torch.tensor(float(group["lr"]), device=device)
                )


def compile_networks(system: System, **options: Any) -> None:
    """Each network for itself: a step's game of players is Python."""
    for net in system.children():
        if any(True for _ in net.parameters()):
            net.compile(**options)


def laid_out(run: Run, x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if run.channels_last else x


@contextlib.contextmanager
def autocast(run: Run, device: torch.device) -> Iterator[None]:
    with torch.autocast(device.type, torch.bfloat16, enabled=run.bf16, cache_enabled=not run.cuda_graph):
        yield
