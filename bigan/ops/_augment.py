"""What `augment_pair` and `gather_images` share: the draw, the formula in plain PyTorch and its adjoint.

Per sample b of a batch of images x [B, C, H, W], in this order:

    pad and crop   x padded by `pad` pixels a side, cut back to [H, W] at offset (dy, dx) in {0 .. 2 pad}^2
    flip           left and right exchanged
    blur           separable Gaussian, `kernel_size` normalised taps exp(-t^2 / (2 sigma^2)), edges reflected
    contrast       f v + (1 - f) m, m the mean of v's grey image: 0.2989 R + 0.587 G + 0.114 B, for other
                   than three channels their mean
    normalise      scale v + shift

Linear in x (affine with a shift) for a given draw.  Words of a sample's Philox stream: group 0 dy, dx, flip,
mirror; group 1 sigma, contrast.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bigan.ops import _checks, _philox

LAYOUTS = ("augmented", "width", "channels", "apart", "image")
_AUGMENTED, _WIDTH, _CHANNELS, _APART, _IMAGE = range(5)
MODES = ("reflect", "zero")
LARGEST_KERNEL = 31
GREY = (0.2989, 0.587, 0.114)

# Arguments of the three operators after their tensors of images: the fields of How.
HOW = (
    "Tensor? rng, Tensor? sample_id, Tensor? offset, Tensor? flip, Tensor? mirror, Tensor? sigma, "
    "Tensor? contrast, int stream, int options, int pad, int kernel_size, int flip_below, int mirror_below, "
    "float sigma_low, float sigma_high, float contrast_low, float contrast_high, float scale, float shift"
)


class Draw(NamedTuple):
    """What was drawn for each sample; None: not applied.

    offset: int64 [B, 2], (dy, dx) of the crop in the padded image.  flip, mirror: bool [B], the left-right
    flip of the augmented image alone, and that of the image itself (`gather_images`).  sigma, contrast:
    float32 [B].
    """

    offset: Tensor | None = None
    flip: Tensor | None = None
    sigma: Tensor | None = None
    contrast: Tensor | None = None
    mirror: Tensor | None = None


class How(NamedTuple):
    """The arguments of HOW.  With rng all is drawn; without, given, and None where not applied."""

    rng: Tensor | None
    sample_id: Tensor | None
    offset: Tensor | None
    flip: Tensor | None
    mirror: Tensor | None
    sigma: Tensor | None
    contrast: Tensor | None
    stream: int
    options: int
    pad: int
    kernel_size: int
    flip_below: int  # flipped where a 32-bit word is below this
    mirror_below: int
    sigma_low: float
    sigma_high: float
    contrast_low: float
    contrast_high: float
    scale: float
    shift: float

    @property
    def layout(self) -> int:
        return self.options & 7

    @property
    def zero(self) -> bool:
        return bool(self.options >> 3 & 1)

    @property
    def contrasted(self) -> bool:
        return bool(self.options >> 4 & 1)

    @property
    def dtype(self) -> torch.dtype:
        """Of the result: the outputs', the gradient's in the backward."""
        return _checks.FLOATS[self.options >> 5 & 3]

    @property
    def channels_last(self) -> bool:
        """Of the gradient: in the forward the input's strides tell it."""
        return bool(self.options >> 7 & 1)


def options(layout: int, zero: int, contrasted: bool, dtype: torch.dtype, channels_last: bool = False) -> int:
    last = 1 << 7 if channels_last else 0  # it may be a symbol that is not yet known
    return layout | zero << 3 | contrasted << 4 | _checks.FLOATS.index(dtype) << 5 | last


def is_channels_last(x: Tensor) -> bool:
    """Channels stand together: the results then have them together too."""
    return x.shape[1] > 1 and x.stride(1) == 1 and x.shape[2] * x.shape[3] > 1


def memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def draw(how: How, batch: int, device: torch.device) -> Draw:
    """The draw of each sample, given or from the counter; offsets are kept within the padded image."""
    if how.rng is None:
        offset = None if how.offset is None else how.offset.clamp(0, 2 * how.pad)
        return Draw(offset, how.flip, how.sigma, how.contrast, how.mirror)
    ids = torch.arange(batch, device=device) if how.sample_id is None else how.sample_id
    words = _philox.bits(how.rng, ids, 2, how.stream)
    dy, dx, flip, mirror = (w[:, 0] for w in words)
    offset = torch.stack([dy, dx], 1) * (2 * how.pad + 1) >> 32  # the upper half of a product: no division
    # [0, 1) with 24 bits
    u, v = ((w[:, 1] >> 8).double() * 2.0**-24 for w in words[:2])
    sigma = how.sigma_low + (how.sigma_high - how.sigma_low) * u
    contrast = how.contrast_low + (how.contrast_high - how.contrast_low) * v
    return Draw(offset, flip < how.flip_below, sigma.float(), contrast.float(), mirror < how.mirror_below)


def _reflect(i: Tensor, n: int) -> Tensor:
    """Indices outside of [0, n) by less than n, reflected at the first and the last."""
    return n - 1 - (n - 1 - i.abs()).abs()


def _columns(n: int, flip: Tensor | None, device: torch.device) -> Tensor:
    """0 .. n-1, the other way round where flipped: [1, n] or [B, n]."""
    i = torch.arange(n, device=device)[None]
    return i if flip is None else torch.where(flip[:, None], n - 1 - i, i)


def _sources(d: Draw, how: How, shape: tuple[int, ...], device: torch.device) -> tuple[Any, Tensor]:
    """Where each pixel of the crop comes from, as indices for x, and whether that is inside."""
    B, C, H, W = shape
    rows, columns = _columns(H, None, device), _columns(W, d.flip, device)
    if d.offset is not None:
        shift = d.offset - how.pad
        rows, columns = rows + shift[:, :1], columns + shift[:, 1:]
    inside = ((rows >= 0) & (rows < H))[:, :, None] & ((columns >= 0) & (columns < W))[:, None, :]
    rows, columns = _reflect(rows, H), _reflect(columns, W)
    if d.mirror is not None:
        columns = torch.where(d.mirror[:, None], W - 1 - columns, columns)
    b = torch.arange(B, device=device)[:, None, None, None]
    c = torch.arange(C, device=device)[None, :, None, None]
    return (b, c, rows[:, None, :, None], columns[:, None, None, :]), inside[:, None]


def _taps(sigma: Tensor, kernel_size: int, acc: torch.dtype) -> Tensor:  # [B] -> [B, K]
    t = torch.arange(kernel_size, device=sigma.device, dtype=acc) - kernel_size // 2
    taps = (-0.5 * (t / sigma.to(acc).clamp(min=1e-18)[:, None]).square()).exp()  # sigma 0: no blur
    return taps / taps.sum(1, keepdim=True)


def _window(n: int, kernel_size: int, device: torch.device) -> list[Tensor]:
    """For each tap, the index that it reads: [n]."""
    i = torch.arange(n, device=device)
    return [_reflect(i + t - kernel_size // 2, n) for t in range(kernel_size)]


def _blur(u: Tensor, taps: Tensor) -> Tensor:
    for dim in (2, 3):
        window = _window(u.shape[dim], taps.shape[1], u.device)
        terms = [taps[:, t, None, None, None] * u.index_select(dim, i) for t, i in enumerate(window)]
        u = torch.stack(terms).sum(0)
    return u


def _blur_adjoint(g: Tensor, taps: Tensor) -> Tensor:
    for dim in (2, 3):
        window = _window(g.shape[dim], taps.shape[1], g.device)
        out = torch.zeros_like(g)
        for t, i in enumerate(window):
            out = out.index_add(dim, i, taps[:, t, None, None, None] * g)
        g = out
    return g


def _grey(C: int, acc: torch.dtype, device: torch.device) -> Tensor:
    weights = GREY if C == 3 else (1 / max(C, 1),) * C
    return torch.tensor(weights, dtype=acc, device=device)[:, None, None]  # [C, 1, 1]


def _filters(d: Draw, how: How, acc: torch.dtype) -> tuple[Tensor | None, Tensor | None]:
    taps = _taps(d.sigma, how.kernel_size, acc) if how.kernel_size > 1 and d.sigma is not None else None
    factor = d.contrast.to(acc)[:, None, None, None] if how.contrasted and d.contrast is not None else None
    return taps, factor


def apply(x: Tensor, how: How) -> tuple[Tensor, Tensor]:
    """x [B, C, H, W] -> (out, original), [0] for one that the layout does not have."""
    B, C, H, W = x.shape
    acc = torch.float64 if torch.float64 in (x.dtype, how.dtype) else torch.float32
    d, form = draw(how, B, x.device), memory_format(is_channels_last(x))
    x = x.to(acc)
    original = (
        x if d.mirror is None else x.gather(3, _columns(W, d.mirror, x.device)[:, None, None].expand_as(x))
    )
    original = (original * how.scale + how.shift).to(how.dtype)
    none = x.new_empty(0, dtype=how.dtype)
    if how.layout == _IMAGE:
        return none, original.clone(memory_format=form)
    where, inside = _sources(d, how, (B, C, H, W), x.device)
    v = x[where]
    if how.zero:
        v = torch.where(inside, v, 0)
    taps, factor = _filters(d, how, acc)
    if taps is not None:
        v = _blur(v, taps)
    if factor is not None:
        mean = (_grey(C, acc, x.device) * v).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        v = factor * v + (1 - factor) * mean
    y = (v * how.scale + how.shift).to(how.dtype)
    if how.layout in (_WIDTH, _CHANNELS):
        y = torch.cat([original, y], 3 if how.layout == _WIDTH else 1)
    return y.clone(memory_format=form), original.clone(memory_format=form) if how.layout == _APART else none


def adjoint(grad_out: Tensor | None, grad_original: Tensor | None, how: How) -> Tensor:
    """The gradient by x of `apply`, from those by its results."""
    grads = [g for g in (grad_out, grad_original) if g is not None]
    acc = torch.float64 if torch.float64 in (grads[0].dtype, how.dtype) else torch.float32
    if how.layout in (_WIDTH, _CHANNELS):
        assert grad_out is not None
        grad_original, grad_out = grad_out.chunk(2, 3 if how.layout == _WIDTH else 1)
    shape = (grads[0] if grad_out is None else grad_out).shape
    device = grads[0].device
    result = torch.zeros(shape, dtype=acc, device=device)
    if grad_out is not None:
        d = draw(how, shape[0], device)
        g = gv = grad_out.to(acc)
        taps, factor = _filters(d, how, acc)
        if factor is not None:
            grey = _grey(shape[1], acc, device) / max(shape[2] * shape[3], 1)
            gv = factor * g + (1 - factor) * grey * g.sum((1, 2, 3), keepdim=True)
        if taps is not None:
            gv = _blur_adjoint(gv, taps)
        where, inside = _sources(d, how, tuple(shape), device)
        if how.zero:
            gv = torch.where(inside, gv, 0)
        result = result.index_put(where, gv, accumulate=True)
    if grad_original is not None:
        result = result + grad_original.to(acc)
    result = (result * how.scale).to(how.dtype)
    return result.clone(memory_format=memory_format(how.channels_last))


def empty(x: Tensor, how: How, batch: int | torch.SymInt) -> tuple[Tensor, Tensor]:
    """Uninitialised results for images like x's."""
    _, C, H, W = x.shape
    form = memory_format(is_channels_last(x))

    def new(*shape):
        return torch.empty(shape, dtype=how.dtype, device=x.device, memory_format=form)

    none = x.new_empty(0, dtype=how.dtype)
    if how.layout == _IMAGE:
        return none, new(batch, C, H, W)
    wide, deep = how.layout == _WIDTH, how.layout == _CHANNELS
    out = new(batch, C * 2 if deep else C, H, W * 2 if wide else W)
    return out, new(batch, C, H, W) if how.layout == _APART else none


def empty_gradient(grad_out: Tensor | None, grad_original: Tensor | None, how: How) -> Tensor:
    g = grad_original if grad_out is None else grad_out
    assert g is not None
    B, C, H, W = g.shape
    if grad_out is not None and how.layout in (_WIDTH, _CHANNELS):
        C, W = (C, W // 2) if how.layout == _WIDTH else (C // 2, W)
    return torch.empty(
        (B, C, H, W), dtype=how.dtype, device=g.device, memory_format=memory_format(how.channels_last)
    )


# ---- arguments ----


def _interval(op: str, name: str, value: Any) -> tuple[float, float]:
    """A number, or (low, high), from 0 to 10000: beyond, a contrast is rounding alone."""
    low, high = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    numbers = all(isinstance(v, (int, float)) for v in (low, high))
    if not numbers or not 0 <= low <= high <= 10_000:
        _checks.fail(op, name, "be a number or (low, high), from 0 to 10000", value)
    return float(low), float(high)


def _below(op: str, name: str, value: Any) -> int:
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        _checks.fail(op, name, "be a probability in [0, 1]", value)
    return round(value * 2**32)


def _given(op: str, name: str, value: Any, shape: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    _checks.tensor(op, name, value)
    if value.shape != shape or value.dtype != dtype or value.device != device:
        kind = str(dtype).removeprefix("torch.")
        _checks.fail(op, name, f"be {list(shape)} {kind} {device}", value)
    return value.contiguous()


def within(op: str, name: str, value: Tensor, low: float, high: float) -> None:
    """Checked where looking costs no wait for a GPU; there, and in compiled code, the kernels clamp."""
    if value.device.type == "cpu" and value.numel() and not torch.compiler.is_compiling():
        least, most = (v.item() for v in value.aminmax())
        if not low <= least <= most <= high:  # NaN too
            raise ValueError(f"{op}: {name} must lie in [{low}, {high}], got values from {least} to {most}")


def how(
    op: str,
    batch: int,
    size: tuple[int, ...] | None,
    dtype: Any,
    device: torch.device,
    *,
    pad: Any = 0,
    mode: Any = "reflect",
    flip: Any = 0.0,
    mirror: Any = 0.0,
    kernel_size: Any = 1,
    sigma: Any = (0.1, 2.0),
    contrast: Any = None,
    layout: int = 0,
    scale: Any = 1.0,
    shift: Any = 0.0,
    rng: Any = None,
    stream: Any = 0,
    sample_id: Any = None,
    draw: Any = None,
) -> How:
    """Check everything but the images, which are of `size`, and pack it; dtype: of the result."""
    if not isinstance(pad, int) or pad < 0:
        _checks.fail(op, "pad", "be an integer, 0 or more", pad)
    zero = _checks.choice(op, "mode", mode, MODES)
    if not isinstance(kernel_size, int) or not 1 <= kernel_size <= LARGEST_KERNEL or kernel_size % 2 == 0:
        _checks.fail(op, "kernel_size", f"be an odd integer from 1 to {LARGEST_KERNEL}", kernel_size)
    if size is not None and (pad or kernel_size > 1):
        of = f"the height and width of the images ({size[0]} x {size[1]})"
        if pad >= min(size):
            _checks.fail(op, "pad", f"be smaller than {of}", pad)
        if kernel_size // 2 >= min(size):
            _checks.fail(op, "kernel_size", f"be smaller than twice {of}", kernel_size)
    below = _below(op, "flip", flip), _below(op, "mirror", mirror)
    sigmas = _interval(op, "sigma", sigma)
    contrasts = (1.0, 1.0) if contrast is None else _interval(op, "contrast", contrast)
    for name, value in (("scale", scale), ("shift", shift)):
        if not isinstance(value, (int, float)):
            _checks.fail(op, name, "be a number", value)
    if not isinstance(dtype, torch.dtype) or dtype not in _checks.FLOATS:
        _checks.fail(op, "dtype", "be float64, float32, float16 or bfloat16", dtype)
    _checks.count(op, "stream", stream)
    given: Draw = Draw()
    if draw is not None:
        if rng is not None or sample_id is not None:
            raise ValueError(f"{op}: give draw, or rng and sample_id, not both")
        given = _check_draw(op, draw, batch, device, pad, kernel_size, contrast is not None)
    elif rng is None:
        if sample_id is not None:
            raise ValueError(f"{op}: sample_id needs rng: it numbers the samples whose draw is made from it")
        random = pad or any(below) or (kernel_size > 1) or contrast is not None
        if random:
            rng = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=device)
    else:
        _checks.rng(op, rng, device)
        if sample_id is not None:
            _checks.sample_id(op, sample_id, batch, device)
    rng, sample_id = (t if t is None else t.contiguous() for t in (rng, sample_id))
    packed = options(layout, zero, contrast is not None, dtype)
    return How(
        rng, sample_id, given.offset, given.flip, given.mirror, given.sigma, given.contrast, stream, packed,
        pad, kernel_size, *below, *sigmas, *contrasts, float(scale), float(shift),
    )  # fmt: skip


def _check_draw(op, draw, batch, device, pad, kernel_size, contrasted):
    if not isinstance(draw, Draw):
        raise TypeError(f"{op}: draw must be a bigan.ops.Draw, got {_checks.form(draw)}")
    for name, value, needed in (
        ("offset", draw.offset, pad > 0),
        ("sigma", draw.sigma, kernel_size > 1),
        ("contrast", draw.contrast, contrasted),
    ):
        if needed and value is None:
            raise ValueError(f"{op}: draw.{name} must be given: pad, kernel_size or contrast asks for it")
    offset, flip, sigma, contrast, mirror = draw
    if offset is not None:
        offset = _given(op, "draw.offset", offset, (batch, 2), torch.int64, device)
        within(op, "draw.offset", offset, 0, 2 * pad)
    if sigma is not None:
        sigma = _given(op, "draw.sigma", sigma, (batch,), torch.float32, device)
        within(op, "draw.sigma", sigma, 0, float("inf"))
    if contrast is not None:
        contrast = _given(op, "draw.contrast", contrast, (batch,), torch.float32, device)
        within(op, "draw.contrast", contrast, 0, float("inf"))
    flip, mirror = (
        None if value is None else _given(op, f"draw.{name}", value, (batch,), torch.bool, device)
        for name, value in (("flip", flip), ("mirror", mirror))
    )
    return Draw(offset, flip, sigma, contrast, mirror)


def image_batch(op: str, name: str, value: Any, of: str) -> None:
    _checks.tensor(op, name, value)
    if value.dtype not in (*_checks.FLOATS, torch.uint8):
        _checks.fail(op, name, "be uint8, float64, float32, float16 or bfloat16", value)
    if value.dim() != 4:
        _checks.fail(op, name, f"be [{of}, C, H, W]", value)
