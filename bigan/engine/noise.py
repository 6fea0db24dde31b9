"""The randomness of one training step, made from a counter: nothing but (seed, step) is ever saved."""

import struct
import zlib

import torch
from torch import Tensor

from bigan import ops

PICTURES = 2**32 - 1  # the step whose draws the pictures use; no training gets there


class Noise:
    """Draws of one step, numbered in the order they are asked for.

    A pure function of (seed, step, number of the draw): the same on every device and backend, after a
    resume and, since the step lies in a tensor on the device, in a replayed CUDA graph.  rank, ranks: row i is
    row i * ranks + rank of one process's draw (see bigan/ranks.py).
    """

    def __init__(self, seed: int, device: torch.device | str, rank: int = 0, ranks: int = 1):
        self.rng = torch.tensor([seed, 0], dtype=torch.int64, device=device)
        self.seed, self.rank, self.ranks = seed, rank, ranks
        self._stream = 0
        self._rows: dict[int, Tensor] = {}

    def at(self, step: int) -> "Noise":
        """The randomness of `step`, from its first draw. Returns itself."""
        self.rng[1] = step
        self._reseed_torch(step)
        return self.rewind()

    def rewind(self) -> "Noise":
        """Back to the step's first draw."""
        self._stream = 0
        return self

    def draw(self, batch: int) -> dict:
        """Arguments that give an operator its own draw: `ops.reparam_kl(mu, logvar, **noise.draw(len(mu)))`."""
        stream, self._stream = self._stream, self._stream + 1
        return {"rng": self.rng, "stream": stream, "sample_id": self._sample_id(batch)}

    def _sample_id(self, batch: int) -> Tensor | None:
        if self.ranks == 1:
            return None
        if batch not in self._rows:
            self._rows[batch] = torch.arange(batch, device=self.rng.device) * self.ranks + self.rank
        return self._rows[batch]

    def normal(self, batch: int, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """N(0, 1) noise.  -> [batch, dim]"""
        return ops.philox_normal(batch=batch, dim=dim, dtype=dtype, **self.draw(batch))

    def uniform(self, batch: int, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """U(-1, 1) noise, from one normal draw a number.  -> [batch, dim]"""
        return torch.erf(self.normal(batch, dim, dtype) * 0.5**0.5)

    def _reseed_torch(self, step: int) -> None:
        # Layers that draw from PyTorch's own generators (Dropout) must not break a resume. One hash of both
        # numbers, as the CPU's generator looks at the low 32 bits of its seed alone.
        mine = struct.pack("<q", self.rank) if self.ranks > 1 else b""
        seed = zlib.crc32(struct.pack("<qq", self.seed, step) + mine)
        torch.default_generator.manual_seed(seed)
        if self.rng.is_cuda:
            torch.cuda.default_generators[self.rng.device.index].manual_seed(seed)
