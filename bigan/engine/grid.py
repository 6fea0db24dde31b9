"""Batches of images as one picture."""

import math

import torch
from PIL import Image
from torch import Tensor

PAD = 2  # white pixels between tiles
VISIBLE = 64  # smaller images are enlarged to about this many pixels


def grid(x: Tensor, data_range: tuple[float, float], columns: int | None = None) -> Image.Image:
    """Tiles row by row, as near a square as it goes where `columns` is not given.

    x: [N, C, H, W] in data_range, or uint8.  One channel gives grey, three or more RGB.
    """
    pixels = to_uint8(x, data_range)  # [N, H, W, 1 or 3]
    if not len(pixels):
        raise ValueError("grid: no images")
    zoom = max(1, round(VISIBLE / pixels.shape[1]))
    pixels = pixels.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    n, h, w, c = pixels.shape
    columns = min(n, columns or math.ceil(math.sqrt(n * h / w)))
    rows = math.ceil(n / columns)
    sheet = torch.full((rows * (h + PAD) + PAD, columns * (w + PAD) + PAD, c), 255, dtype=torch.uint8)
    for i, tile in enumerate(pixels):
        top, left = PAD + i // columns * (h + PAD), PAD + i % columns * (w + PAD)
        sheet[top : top + h, left : left + w] = tile
    return Image.fromarray(sheet.squeeze(2).numpy())


def pairs(x: Tensor, x_r: Tensor, data_range: tuple[float, float], columns: int | None = None) -> Image.Image:
    """A grid of pairs: each original with its reconstruction on its right.  x, x_r: [N, C, H, W]"""
    return grid(torch.cat([x, x_r], dim=3), data_range, columns)


def to_uint8(x: Tensor, data_range: tuple[float, float]) -> Tensor:
    """[N, C, H, W] in data_range -> [N, H, W, 1 or 3] uint8 on the CPU; clipped, NaN is black."""
    low, high = data_range
    if x.dtype != torch.uint8:
        scaled = (x.detach().float() - low) * (255 / (high - low))
        x = scaled.nan_to_num(0.0, 255.0, 0.0).clamp(0, 255).round().to(torch.uint8)
    return x[:, : 3 if x.shape[1] >= 3 else 1].permute(0, 2, 3, 1).cpu()
