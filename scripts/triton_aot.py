"""Compile every Triton kernel ahead of time for GPUs that are not here: sm_80, sm_90, sm_100, gfx942.

    python scripts/triton_aot.py            # every case of tests/op_cases/ in float32 and bfloat16
    python scripts/triton_aot.py --quick    # one case an operator, float32

The launchers run on CPU tensors with the launch itself replaced: what they would launch is compiled.
Prints a table, exits with 1 if a kernel does not compile.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.pop("TRITON_INTERPRET", None)  # an interpreted kernel cannot be compiled
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import torch
import triton
from op_cases import CASES
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from bigan.ops import _registry

TARGETS = [GPUTarget("cuda", cc, 32) for cc in (80, 90, 100)] + [GPUTarget("hip", "gfx942", 64)]
POINTERS = {
    torch.float64: "*fp64", torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16",
    torch.int64: "*i64", torch.int32: "*i32", torch.uint8: "*u8", torch.bool: "*i1",
}  # fmt: skip


def capture(case, dtype):
    """The kernels that a case launches: (kernel, arguments by name)."""
    launched = []

    def run(kernel, *args, grid, warmup, **options):
        launched.append((kernel, dict(zip(kernel.arg_names, args, strict=False)) | options))

    original, JITFunction.run = JITFunction.run, run
    # the launchers, as backend "triton" would have them, without asking whether there is a GPU
    lib = torch.library.Library("bigan", "IMPL")
    try:
        for name in _registry._REFERENCES:
            module = __import__(f"bigan.kernels.{_registry._STEMS[name]}", fromlist=[name])
            lib.impl(name, getattr(module, name), "CPU", allow_override=True)
        inputs = [t.requires_grad_(case.differentiable) for t in case.inputs((3, 37), dtype, "cpu")]
        outputs = case.call(*inputs)
        if case.differentiable:
            graded = case.graded(outputs)
            torch.autograd.grad(graded, inputs, [torch.ones_like(o) for o in graded])
    finally:
        JITFunction.run = original
        lib._destroy()
    return launched


def source(kernel, arguments):
    """Signature and constants as the launch would specialise them."""
    signature, constants = {}, {}
    for i, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr or value is None:
            signature[parameter.name], constants[(i,)] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = POINTERS[value.dtype]
        else:
            signature[parameter.name] = "fp32" if isinstance(value, float) else "i32"
    return ASTSource(fn=kernel, signature=signature, constexprs=constants)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one case an operator, float32 only")
    quick = parser.parse_args().quick
    cases = list({case.op: case for case in reversed(CASES)}.values()) if quick else CASES
    seen, failures = set(), 0
    for case in cases:
        for dtype in (torch.float32,) if quick else (torch.float32, torch.bfloat16):
            for kernel, arguments in capture(case, dtype):
                src = source(kernel, arguments)
                key = (kernel.fn.__module__, kernel.fn.__name__, str(src.signature), str(src.constants))
                if key in seen:
                    continue
                seen.add(key)
                sizes = []
                for target in TARGETS:
                    try:
                        binary = triton.compile(src, target=target).asm[
                            "hsaco" if target.backend == "hip" else "cubin"
                        ]
                        sizes.append(f"{target.arch}: {len(binary)} B")
                    except Exception as error:  # the compiler raises many kinds
                        failures += 1
                        sizes.append(f"{target.arch}: FAILED {type(error).__name__}: {error}")
                name = f"{kernel.fn.__module__}.{kernel.fn.__name__}"
                print(f"{case.op:<26} {name:<44} {case.name:<24} {dtype}  {'  '.join(sizes)}")
    print(f"{len(seen)} kernels for {len(TARGETS)} targets, {failures} failures")
    return 1 if failures or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
