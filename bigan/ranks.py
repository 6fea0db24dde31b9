"""Several processes that train one model: what each must know of the others' images.

`torchrun --nproc-per-node=N -m bigan train ...` starts N ranks. A batch of B images is dealt out like cards: its
image i is row i // N of rank i mod N. Losses are means over a rank's own rows, and players average their
gradients over the ranks, so N ranks do what one would do with the whole batch, if what a loss takes from the batch
as a whole (batch normalisation, a hinge on its mean, moments) is taken from all of it: `gathered` and `mean`.

Outside `joined`, and with one process, all of this changes nothing and costs nothing.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from bigan.errors import UserError

_index, _count = 0, 1
_hosts: Any = None  # what the processes agree on without their devices


def index() -> int:
    """This process's number, 0 to count() - 1."""
    return _index


def count() -> int:
    """How many processes train together."""
    return _count


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Inside, this process is one of those that torchrun started; on GPUs by NCCL, on CPUs by gloo."""
    global _index, _count, _hosts
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started == 1:
        yield
        return
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise UserError(f"WORLD_SIZE is {started}, but {', '.join(missing)} not set: start with torchrun")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, world_size = next(rendezvous("env://"))
    # After a restart torchrun's store still holds the addresses of the processes that were killed.
    store = dist.PrefixStore(f"bigan/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    try:
        _index, _count, _hosts = dist.get_rank(), started, dist.new_group(backend="gloo")
        yield
    finally:
        _index, _count, _hosts = 0, 1, None
        dist.destroy_process_group()


def share(batch: int) -> int:
    """This rank's part of a batch, as many images for each; UserError where it does not come out even."""
    if batch % _count:
        raise UserError(f"--batch must be a multiple of the {_count} processes that share it, got {batch}")
    return batch // _count


def gathered(x: Tensor) -> Tensor:
    """The rows of all ranks, in the batch's order; differentiable, twice too.  [B, ...] -> [N B, ...]

    In its gradient meet the losses of all ranks.
    """
    return x if _count == 1 else _Gather.apply(x)


def own(x: Tensor) -> Tensor:
    """This rank's rows of what was made of gathered ones.  [N B, ...] -> [B, ...]"""
    return x if _count == 1 else x[_index::_count]


def mean(x: Tensor) -> Tensor:
    """The mean over the ranks, element by element; differentiable, twice too."""
    return x if _count == 1 else _Mean.apply(x)


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes its mean over the ranks, all by one message. For gradients."""
    if _count == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    flat /= _count
    for t, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        t.copy_(part.view_as(t))


def agreed(*flags: int) -> list[int]:
    """The greatest value that any rank gives for each flag; never waits for a device."""
    if _count == 1:
        return list(flags)
    found = torch.tensor(flags)
    dist.all_reduce(found, dist.ReduceOp.MAX, group=_hosts)
    return found.tolist()


def from_first(data: bytes) -> bytes:
    """What rank 0 passes, on every rank."""
    if _count == 1:
        return data
    size = torch.tensor([len(data)])
    dist.broadcast(size, 0, group=_hosts)
    blob = torch.frombuffer(bytearray(data if _index == 0 else int(size)), dtype=torch.uint8)
    if len(blob):
        dist.broadcast(blob, 0, group=_hosts)
    return blob.numpy().tobytes()


def _all(x: Tensor) -> Tensor:
    """What each rank passes.  [...] -> [N, ...]"""
    found = x.new_empty(_count * x.numel())
    dist.all_gather_into_tensor(found, x.reshape(-1))
    return found.view(_count, *x.shape)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # [B, ...] -> [N B, ...]
        return _all(x).transpose(0, 1).flatten(0, 1)

    @staticmethod
    def backward(ctx, grad):
        return _SumOwn.apply(grad)


class _SumOwn(torch.autograd.Function):
    """The adjoint of _Gather: this rank's rows of the sum over ranks."""

    @staticmethod
    def forward(ctx, x):  # [N B, ...] -> [B, ...]
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[_index::_count].contiguous()

    @staticmethod
    def backward(ctx, grad):
        return _Gather.apply(grad)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return _all(x).mean(0)  # of few numbers: half the time of a reduction

    @staticmethod
    def backward(ctx, grad):
        return _Mean.apply(grad)
