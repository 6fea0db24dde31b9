"""`bigan export RUN`: the trained encoder and generator on their own."""
# ruff: noqa: RUF009 (arg() makes a field, as dataclasses.field does)

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from bigan.cli import flags
from bigan.cli.pictures import default, load_model
from bigan.errors import UserError
from bigan.systems.base import arg


@dataclasses.dataclass(frozen=True)
class Export:
    """Write encoder and generator as safetensors and a config, which `bigan.load` reads; on request as programs."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = arg(
        tyro.MISSING, "the run directory"
    )
    out: Annotated[Path | None, default("RUN/export", "DIR")] = arg(None, "the folder to write")
    ema: bool = arg(True, "use the averaged weights, where the run has them")
    torch_export: bool = arg(
        False, "also encoder.pt2, generator.pt2: torch.export files, which need no bigan"
    )
    onnx: bool = arg(False, "also encoder.onnx, generator.onnx; needs bigan[onnx]")
    push: Annotated[str | None, default("not at all", "USER/NAME")] = arg(
        None, "also upload to the Hugging Face hub under this name; needs bigan[hub]"
    )


def export(args: list[str]) -> int:
    """A model out of a run."""
    c = flags.parse(Export, args, "bigan export", Export.__doc__ or "")
    out = c.out or c.run / "export"
    if out.resolve() == c.run.resolve():
        raise UserError(f"--out must be another folder than the run, {c.run}")

    from bigan.export import Model, folder, programs
    from bigan.export.hub import need_hub

    kinds = tuple(kind for kind, wanted in (("torch", c.torch_export), ("onnx", c.onnx)) if wanted)
    if c.onnx:
        programs.need_onnx()
    if c.push:
        need_hub("--push")
    system, record = load_model(c.run, c.ema)
    model = Model(system, folder.describe(record))
    model.save_pretrained(out)
    print(f"model:    {out}  # bigan.load({str(out)!r})")
    for file in programs.write_programs(model, out, kinds):
        print(f"program:  {file}")
    if c.push:
        print(f"hub:      {model.push_to_hub(c.push)}")
    return 0
