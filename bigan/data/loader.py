"""From what stands behind --data to Images."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import UserError, unknown
from . import digits, formats, named
from .images import DataError, Images, Want, shown


def load(
    source: str | os.PathLike[str],
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Images:
    """Read a data set, by name or path, into one uint8 tensor.

    source: a name of NAMES, or a path: folder or zip of images, CIFAR's batches, MNIST's idx, .npz, .mat.
    size: centre-crop to a square and resize, wherever the images are not size x size.  None: as they are.
    channels: 1 grey, 3 RGB.  None: grey if all images are.
    skip_bad: leave out unreadable images (without `size` also those of odd sizes) and log how many.
    limit: read that many images, evenly spread over the data set.
    progress: called with (images read, images in all).
    cache: folder where the decoded images of a folder, zip or shards are kept, in place of the memory: for more
        of them than fit there.  Decoded when first asked for; found there afterwards.

    Raises DataError, which names the file and what to do.
    """
    want = Want(size, channels, skip_bad, limit, progress, None if cache is None else Path(cache))
    source = os.fspath(source)
    if source == "digits":
        return digits.read(want)
    path = named.find(source) if source in named.NAMES else _existing(source)
    form = formats.find(path)
    if form is None:
        known = ", ".join(module.TITLE for module in formats.formats())
        hint = "; for one image pass its folder" if path.suffix.lower() in formats.folder.SUFFIXES else ""
        raise DataError(f"{shown(str(path))}: not a kind of data bigan reads ({known}){hint}")
    try:
        images = form.read(path, want)
    except UserError:
        raise
    except (
        Exception
    ) as error:  # damaged files end in any error that zipfile, tarfile, gzip, numpy, scipy know
        why = shown(str(error)) or type(error).__name__
        raise DataError(f"{shown(str(path))}: cannot be read as {form.TITLE}: {why}") from error
    images.name = source
    return images


def _existing(source: str) -> Path:
    path = Path(source).expanduser()
    if source and path.exists():
        return path
    if os.sep not in source:
        here = [entry.name for entry in Path().iterdir() if not entry.name.startswith(".")]
        near = difflib.get_close_matches(source, here, n=1, cutoff=0.6)
        hint = (
            f"Or did you mean the local {near[0]!r}?" if near else "There is no such file or folder either."
        )
        raise DataError(f"{unknown('data set', shown(source), named.NAMES)}. {hint}")
    parent = path.parent
    while not parent.is_dir():
        path, parent = parent, parent.parent
    near = difflib.get_close_matches(path.name, [entry.name for entry in parent.iterdir()], n=2, cutoff=0.5)
    choices = " or ".join(repr(str(parent / name)) for name in near)
    hint = f"did you mean {choices}?" if near else f"{str(parent)!r} has no {path.name!r}"
    raise DataError(f"no data at {shown(source)!r}; {hint}")
