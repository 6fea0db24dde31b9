"""Centre crop to a square and resize with a filter that does not alias."""

from PIL import Image


def fit(image: Image.Image, size: int) -> Image.Image:
    """`image` as size x size: the centre square, resized bicubically (PIL's, antialiased when shrinking).

    PIL's arithmetic is in integers, so the bytes are the same on every machine.
    """
    width, height = image.size
    side = min(width, height)
    if width != height:
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image if side == size else image.resize((size, size), Image.Resampling.BICUBIC)
