"""Encoder and generator as programs that need no bigan: torch.export files and ONNX files.

A program takes any number of images or codes. It is written from the same trace, the operators of bigan replaced
by their references in plain PyTorch, and is read back and compared with the model before this says it is done.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from bigan.errors import UserError
from bigan.export.model import Model
from bigan.ops import _registry

RTOL, ATOL = 1e-3, 1e-4  # of float32 networks: other kernels sum in another order
BATCHES = 2, 1, 5  # the first is traced, the others are only compared
Inputs = tuple[Tensor, ...]  # images or codes, then labels if the model takes any


class Function(nn.Module):
    """A method of a model as a module."""

    def __init__(self, model: Model, method: str):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return getattr(self.model, self.method)(x, labels)


def write_programs(model: Model, path: Path, kinds: tuple[str, ...]) -> list[Path]:
    """Write encoder, decoder and generator as "torch" (.pt2) or "onnx" files into `path`.

    The decoder takes codes of images, the generator codes from the prior; they differ in their running
    statistics, and where a system keeps but one kind there is no decoder. All images are in [0, 1]. Those of a
    conditional model take its labels as well, [B, Y] float32.
    Returns the files.  UserError where a library is missing; ValueError where what was written does not
    compute what the model does.
    """
    writers = {"torch": write_torch, "onnx": write_onnx}
    if "onnx" in kinds:
        need_onnx()
    path.mkdir(parents=True, exist_ok=True)
    written = []
    model = model.cpu()
    for name, function, inputs in functions(model):
        program = traced(function, inputs[0])
        for kind in kinds:
            file, run = writers[kind](program, path / name, inputs[0])
            check(file, run, function, inputs)
            written.append(file)
    return written


def functions(model: Model) -> Iterator[tuple[str, Function, list[Inputs]]]:
    """(name, function, inputs to trace and to compare with) of each program."""
    draw = torch.Generator().manual_seed(0)
    given = [(torch.rand(n, model.labels, generator=draw),) if model.labels else () for n in BATCHES]
    images = [
        (torch.rand(n, *model.image_shape, generator=draw), *y) for n, y in zip(BATCHES, given, strict=True)
    ]
    codes = [(torch.randn(n, model.z_dim, generator=draw), *y) for n, y in zip(BATCHES, given, strict=True)]
    kept_apart = getattr(model.system, "dec_prior", None)
    if model.has_encoder():
        yield "encoder", Function(model, "encode"), images
        if kept_apart is not None:
            codes_of_images = [(model.encode(x, *y), *y) for x, *y in images]
            yield "decoder", Function(model, "decode"), codes_of_images
    with kept_apart or contextlib.nullcontext():  # now, not in the trace: a program cannot exchange buffers
        yield "generator", Function(model, "decode"), codes


def traced(function: Function, example: Inputs) -> ExportedProgram:
    """The function as a graph of PyTorch's own operators, for any batch."""
    batch = Dim("batch")
    program = torch.export.export(function, example, dynamic_shapes=tuple({0: batch} for _ in example))
    ours: dict[Any, Callable] = {
        getattr(torch.ops.bigan, name).default: reference for name, reference in _registry._REFERENCES.items()
    }
    needed = any(node.target in ours for node in program.graph.nodes)
    return program.run_decompositions(ours) if needed else program


def write_torch(program: ExportedProgram, stem: Path, _: Inputs) -> tuple[Path, Callable]:
    file = stem.with_suffix(".pt2")
    torch.export.save(program, file)
    return file, torch.export.load(file).module()


def write_onnx(program: ExportedProgram, stem: Path, example: Inputs) -> tuple[Path, Callable]:
    import onnxruntime

    # It warns of torchvision's absence, which no network here needs.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    file = stem.with_suffix(".onnx")
    name, gives = ("images", "codes") if stem.name == "encoder" else ("codes", "images")
    names = [name, "labels"][: len(example)]
    made = torch.onnx.export(
        program, example, input_names=names, output_names=[gives], dynamo=True, verbose=False
    )
    assert made is not None
    made.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        feed = {name: t.numpy() for name, t in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return file, run


def need_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX files need {error.name}: pip install 'bigan[onnx]'") from None


def check(file: Path, run: Callable, function: Function, inputs: list[Inputs]) -> None:
    """The written program against the model, on batches of other sizes too."""
    for x in inputs:
        try:
            torch.testing.assert_close(run(*x), function(*x), rtol=RTOL, atol=ATOL)
        except AssertionError as error:
            raise ValueError(f"{file} does not compute what the model does: {error}") from None
