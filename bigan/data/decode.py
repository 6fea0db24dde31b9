"""One encoded image -> one upright 8-bit picture, grey or RGB; whatever is wrong with it is a BadImage."""

import io
import re

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from .resize import fit

# Only these decoders are ever run: some of the others are dangerous (EPS starts Ghostscript).
_PLUGINS = (
    JpegImagePlugin,
    PngImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 89_478_485  # PIL's own alarm: more in one file is a decompression bomb or a mistake
MAX_BYTES = 1 << 28  # of one encoded image

_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
_ROTATED = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # in `info`: may tell an orientation


class BadImage(Exception):
    """An image that cannot be used, and why."""


def decode(data: bytes, size: int | None = None) -> Image.Image:
    """The first frame of an encoded image, upright, in mode L or RGB, on white where it was transparent.

    size: centre-crop and resize to size x size.
    """
    try:
        image = _open(data)
        if size is not None:
            image.draft(
                None, (2 * size, 2 * size)
            )  # JPEG: leave out frequencies that the resize averages away
        image.load()
        image = _eight_bit(_upright(image))
        return image if size is None else fit(image, size)
    except BadImage:
        raise
    except Exception as error:  # PIL raises anything on damaged files, SyntaxError and struct.error included
        raise BadImage(_reason(error)) from error


def dimensions(data: bytes) -> tuple[int, int]:
    """(width, height) once upright, from the header alone."""
    try:
        image = _open(data)
        if image.format == "TIFF":  # whether its size is already the turned one depends on PIL's release
            return decode(data).size
        swap = image.getexif().get(0x0112, 1) >= 5 if _may_be_rotated(image) else False
        return image.size[::-1] if swap else image.size
    except BadImage:
        raise
    except Exception as error:
        raise BadImage(_reason(error)) from error


def _open(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"{image.width}x{image.height} pixels are too many (at most {MAX_PIXELS:,})")
    return image


def _may_be_rotated(image: Image.Image) -> bool:
    return image.format == "TIFF" or any(key in image.info for key in _ROTATED)


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _may_be_rotated(image) else image


def _eight_bit(image: Image.Image) -> Image.Image:
    transparent = image.has_transparency_data
    if image.mode in ("L", "RGB") and not transparent:
        return image
    grey = image.mode in _GREY
    if image.mode.startswith("I"):
        return Image.fromarray(_from_16_bits(np.asarray(image)))
    if image.mode == "F":
        raise BadImage("32-bit float pixels have no agreed range; save it with 8 or 16 bits")
    if transparent:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")


def _from_16_bits(grey: np.ndarray) -> np.ndarray:
    """0..65535 -> 0..255, rounded (PIL's own conversion would clip at 255)."""
    if grey.min() < 0 or grey.max() > 65535:
        raise BadImage("grey values outside 16 bits")
    return ((grey.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image, or its first bytes are damaged"
    return re.sub(r" at 0x[0-9a-f]+", "", str(error)) or type(error).__name__
