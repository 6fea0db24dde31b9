"""Executes the PTX that nvcc generates, with numpy: the second executor, sharing no code with csrc/emulation.

Every PTX register is an array over all threads of a batch of blocks. Threads carry program counters: the
group with the smallest one runs until it reaches the next group, and the two merge, which for nvcc's
block layout reconverges where the hardware does. Checked: bounds and alignment of every access, races in
shared memory between barriers, divergent barriers, shuffles that name absent lanes, deadlocks, the block
size against __launch_bounds__. Unwritten registers read as NaN. Not modelled: time, caches, the
reordering of memory, what ptxas does; approximate instructions are computed exactly and rounded. An
instruction that is not known raises an error with its text.
"""

from .launch import Grid
from .memory import DeviceMemory
from .parse import Module, PtxError

__all__ = ["DeviceMemory", "Grid", "Module", "PtxError"]
