"""Images that stay on the host: batches read before they are asked for, by threads."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from .images import Images

DEPTH = 4  # batches read ahead
WORKERS = 2  # threads that read; PyTorch and the system's page cache release the interpreter as they copy


class Ahead:
    """`ahead(step)` -> [B, C, H, W] uint8 on the device: the images at rows(step), a pure function of step."""

    def __init__(self, images: Images, rows: Callable[[int], Tensor], device: torch.device):
        self.images, self.rows, self.device = images, rows, device
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="bigan-ahead")
        self._reading: dict[int, Future[Tensor]] = {}

    def __call__(self, step: int) -> Tensor:
        wanted = range(step, step + 1 + DEPTH)
        self._reading = {k: future for k, future in self._reading.items() if k in wanted}
        for k in wanted:
            if k not in self._reading:
                self._reading[k] = self._pool.submit(self._read, self.rows(k))
        return self._reading.pop(step).result().to(self.device, non_blocking=True)

    def _read(self, index: Tensor) -> Tensor:
        x = self.images.take(index)
        return x.pin_memory() if self.device.type == "cuda" else x


def fits(images: Images, device: torch.device) -> bool:
    """Whether all images can lie on the device and leave it at least half of its memory."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.images.numel() <= free // 2
