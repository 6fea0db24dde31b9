"""Many encoded images (files of a folder, members of a zip) -> Images."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from PIL import Image

from . import cache
from .attributes import Named
from .decode import BadImage, decode, dimensions
from .images import DataError, Images, Want, shown
from .pool import check_memory, chunks

log = logging.getLogger(__name__)
SURVEY = 1000  # headers read to tell which sizes there are


class _Colour(Exception):
    """A colour image turned up among those that were taken for grey."""


def gather(
    where: str,
    names: list[str],
    read: Callable[[int], bytes],
    labels: list[int] | None,
    classes: list[str] | None,
    want: Want,
    stamp: str,
    attributes: Named | None = None,
) -> Images:
    """Decode the images `names`, in that order: into memory, or into want.cache if they are not there yet.

    where: the folder or archive, for messages.  read(i): the bytes of image i; called from several threads.
    stamp: sizes and times of the files they lie in, which tell a cache whether it still holds them.
    attributes: of all `names`; a cache leaves them out, so that it need not know when their table changes.
    """

    def decoded(room: Callable[..., np.ndarray]) -> Images:
        return _gather(where, names, read, labels, classes, want, room)

    if want.cache is None:
        images = decoded(in_memory(where))
    else:
        picked = [names[i] for i in want.pick(len(names))]
        images = cache.through(where, picked, stamp, want, decoded)
    if attributes is not None and images.names is not None:
        place = {name: i for i, name in enumerate(names)}
        values, images.attribute_names = attributes
        images.attributes = values[torch.tensor([place[name] for name in images.names])]
    return images


def in_memory(where: str) -> Callable[..., np.ndarray]:
    """What gives `gather` room for pixels in memory."""

    def room(*shape: int) -> np.ndarray:
        check_memory(where, *shape, encoded=True)
        return np.empty(shape, np.uint8)

    return room


def _gather(where, names, read, labels, classes, want, room) -> Images:
    picks = want.pick(len(names)).tolist()
    job = _Job(where, [names[i] for i in picks], lambda k: read(picks[k]), want, room)
    try:
        images, kept = job.run()
    except _Colour:  # so not all are grey: once more, as RGB
        job.channels = 3
        images, kept = job.run()
    chosen = None if labels is None else torch.tensor([labels[picks[k]] for k in kept], dtype=torch.int64)
    kept_names = [names[picks[k]] for k in kept]
    return Images(images, chosen, classes, where, skipped=len(picks) - len(kept), names=kept_names)


class _Job:
    def __init__(
        self,
        where: str,
        names: list[str],
        read: Callable[[int], bytes],
        want: Want,
        room: Callable[..., np.ndarray],
    ):
        self.where, self.names, self._read, self.want, self._room = where, names, read, want, room
        first = self._first()
        self.channels = want.channels or (1 if first.mode == "L" else 3)
        if want.size is not None:
            self.size = want.size, want.size
        elif want.skip_bad:  # the odd one out is skipped, so ask the majority and not the first
            self.size = self._survey().most_common(1)[0][0]
        else:
            self.size = first.size

    def run(self) -> tuple[torch.Tensor, list[int]]:
        """The images [n, C, H, W] uint8, and which of the names they are."""
        (width, height), n = self.size, len(self.names)
        self.out = self._room(n, self.channels, height, width)
        bad = [b for found in chunks(n, self._fill, self.want.progress) for b in found]
        if bad:
            k, why = bad[0]
            first = f"first: {shown(self.names[k])}: {why}"
            if len(bad) == n:
                raise DataError(f"{self.where}: none of the {n} images could be read ({first})")
            log.warning("%s: skipped %d of %d unreadable images (%s)", self.where, len(bad), n, first)
        kept = np.delete(np.arange(n), [k for k, _ in bad]).tolist()
        if bad:
            for to, k in enumerate(kept):  # close the gaps in place: no second copy of the data
                if to != k:
                    self.out[to] = self.out[k]
        return torch.from_numpy(self.out[: len(kept)]), kept

    def _fill(self, start: int, end: int) -> list[tuple[int, str]]:
        bad = []
        for k in range(start, end):
            try:
                self._put(k)
            except BadImage as error:
                if not self.want.skip_bad:
                    raise self._unreadable(k, error) from error
                bad.append((k, str(error)))
        return bad

    def _put(self, k: int) -> None:
        image = decode(self._bytes(k), self.want.size)
        if image.size != self.size:
            if not self.want.skip_bad:
                raise self._odd(k, image.size)
            raise BadImage(f"is {_by(image.size)}, and most are {_by(self.size)}")
        if self.channels == 1:
            if image.mode != "L" and self.want.channels is None:
                raise _Colour
            self.out[k, 0] = np.asarray(image if image.mode == "L" else image.convert("L"))
        else:
            rgb = image if image.mode == "RGB" else image.convert("RGB")
            self.out[k] = np.asarray(rgb).transpose(2, 0, 1)

    def _bytes(self, k: int) -> bytes:
        try:
            return self._read(k)
        except BadImage:
            raise
        except Exception as error:  # zipfile raises RuntimeError, NotImplementedError, zlib.error, ...
            raise BadImage(str(error) or type(error).__name__) from error

    def _first(self) -> Image.Image:
        """The first image that can be read."""
        for k in range(len(self.names)):
            try:
                return decode(self._bytes(k), self.want.size)
            except BadImage as error:
                if not self.want.skip_bad:
                    raise self._unreadable(k, error) from error
        raise DataError(f"{self.where}: none of the {len(self.names)} images could be read")

    def _survey(self) -> Counter[tuple[int, int]]:
        """How often each size (width, height) occurs among up to SURVEY images."""
        sizes: Counter[tuple[int, int]] = Counter()
        for k in Want(limit=SURVEY).pick(len(self.names)):
            with suppress(BadImage):
                sizes[dimensions(self._bytes(int(k)))] += 1
        return sizes

    def _odd(self, k: int, size: tuple[int, int]) -> DataError:
        sizes = self._survey()
        found = ", ".join(f"{_by(s)} ({n})" for s, n in sizes.most_common(5))
        more = ", ..." if len(sizes) > 5 else ""
        return DataError(
            f"{self.where}: the images have different sizes: {shown(self.names[k])} is {_by(size)}, "
            f"the first is {_by(self.size)}; among {sizes.total()} looked at: {found}{more}. "
            "Pass --size N to crop and resize all of them to N x N, or --skip-bad to leave out the odd ones."
        )

    def _unreadable(self, k: int, error: BadImage) -> DataError:
        return DataError(
            f"{self.where}: cannot read {shown(self.names[k])}: {error}. "
            "Mend or remove it, or pass --skip-bad to leave such images out."
        )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
