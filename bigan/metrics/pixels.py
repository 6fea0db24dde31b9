"""How far reconstructions are from their images, pixel by pixel."""

from typing import NamedTuple

from torch import Tensor

from bigan.metrics import checks


class PixelErrors(NamedTuple):
    rmse: (
        float  # PAGAN's: mean over images of |x - x_r|_2, pixels in [0, 1]; grows with the size of the images
    )
    rms: float  # root of mse
    mse: float  # mean over images, channels and pixels
    l1: float  # the same of |x - x_r|


def pixel_errors(real: Tensor, rec: Tensor, chunk: int = 4096) -> PixelErrors:
    """[N, C, H, W] uint8, or floating point in [0, 1], each -> PixelErrors, pixels in [0, 1]

    The RMSE of PAGAN's paper (Alanov et al. 2018, table 2) is no root of a mean: the norm of each image's
    error, averaged.  Of RGB images of 32 pixels it is at most 55.4.
    """
    same = isinstance(real, Tensor) and isinstance(rec, Tensor) and real.shape == rec.shape
    got = " for ".join(str(list(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in (rec, real))
    checks.need(
        same and real.ndim == 4 and len(real) > 0, "pixel_errors", "rec must match real [N, C, H, W]", got
    )
    norm = square = l1 = 0.0
    for x, y in zip(real.split(chunk), rec.split(chunk), strict=True):
        d = _unit(x, "real").sub_(_unit(y, "rec")).flatten(1)  # [n, P]
        square += d.square().sum().item()
        norm += d.norm(dim=1).sum().item()
        l1 += d.abs().sum().item()
    mse = square / real.numel()
    return PixelErrors(norm / len(real), mse**0.5, mse, l1 / real.numel())


def _unit(x: Tensor, name: str) -> Tensor:
    """A copy in float64, 0 to 1."""
    if x.is_floating_point():
        checks.finite("pixel_errors", name, x)
        low, high = (v.item() for v in x.aminmax())
        checks.need(
            low >= 0 and high <= 1, "pixel_errors", f"{name} must be in [0, 1]", f"{low:g} to {high:g}"
        )
        return x.double().clone()
    return x.double().div_(255)
