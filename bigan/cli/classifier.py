"""`bigan classifier train --data D`: an extractor of one's own, from labelled images."""
# ruff: noqa: RUF009 (arg() makes a field, as dataclasses.field does)

import dataclasses
from pathlib import Path
from typing import Annotated

from bigan import data
from bigan.cli import flags
from bigan.cli.pictures import default
from bigan.engine.config import Run
from bigan.errors import UserError
from bigan.systems.base import arg

USAGE = """usage: bigan classifier train --data DATA [--test DATA] [--out FILE] [flags]

Trains a small residual network on labelled images (class folders, CIFAR, MNIST, ...) and writes FILE, which
`bigan eval --extractor FILE` takes in place of an ImageNet network: for RID and its like on data of one's own.

  bigan classifier train --help     all flags
"""


@dataclasses.dataclass(frozen=True)
class Train:
    """A classifier of labelled images, as an extractor for `bigan eval`."""

    data: str = arg("digits", "labelled images, a name or path as for `bigan train`")
    test: Annotated[str | None, default("a tenth held out of --data", "DATA")] = arg(
        None, "labelled images for the accuracy that is reported"
    )
    out: Annotated[Path | None, default("classifier-DATA.safetensors", "FILE")] = arg(
        None, "the file to write"
    )
    size: int = arg(32, "side of the images in pixels")
    epochs: int = arg(8, "times that each image is seen")
    batch: int = arg(128, "images in a step")
    lr: float = arg(0.01, "peak step size of AdamW; it rises for a fifth of the steps and falls to 0")
    widths: tuple[int, ...] = arg(
        (32, 64, 128, 256), "channels of its stages; all but the first halve the side"
    )
    flip: bool = arg(True, "mirror images; --no-flip for digits and letters")
    seed: int = arg(0, "decides weights, order and augmentation")
    device: str = arg("auto", "auto (the GPU if there is one), cpu, cuda or cuda:N")

    def __post_init__(self) -> None:
        for name in ("size", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be 1 or more, got {getattr(self, name)}")
        if not self.lr > 0:
            raise UserError(f"--lr must be more than 0, got {self.lr}")
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"--widths must be positive, got {self.widths}")
        if self.size >> (len(self.widths) - 1) < 1:
            most = self.size.bit_length()
            raise UserError(
                f"--widths: {self.size} pixels can be halved for {most} stages, got {len(self.widths)}"
            )


def classifier(args: list[str]) -> int:
    """Train one and write its file."""
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if args else 2
    if args[0] != "train":
        raise UserError(
            f"classifier: the one thing to do is train, got {args[0]!r}: bigan classifier train --data D"
        )
    from bigan.metrics import train_classifier
    from bigan.metrics.extractors import classifier as made

    c = flags.parse(Train, args[1:], "bigan classifier train", Train.__doc__ or "")
    device = Run(device=c.device).torch_device
    seen = data.load(c.data, size=c.size)
    if c.test is None:
        seen, test = data.split(seen, 0.1, c.seed)
    else:
        test = data.load(c.test, size=c.size, channels=seen.shape[0])
        if test.classes != seen.classes:
            raise UserError(f"--test {c.test} has other classes than --data {c.data}")
    flip = c.flip and c.data not in ("digits", "mnist", "svhn")
    how = train_classifier.How(c.epochs, c.batch, c.lr, c.widths, flip, c.seed)
    net = train_classifier.train(seen, how, device)
    accuracy = train_classifier.accuracy(net, test)
    stem = Path(c.data).name.partition(".")[0] or "data"
    out = c.out or Path(f"classifier-{stem}.safetensors")
    settings = {
        "data": stem, "size": c.size, "channels": seen.shape[0], "widths": list(c.widths),
        "classes": train_classifier.classes(seen), "names": seen.classes, "epochs": c.epochs,
        "fingerprint": seen.fingerprint, "test_accuracy": accuracy, "test_images": len(test),
    }  # fmt: skip
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made.save(out, net, settings)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; --out names another place") from error
    print(f"accuracy: {accuracy:.4f} ({len(test)} {'images of ' + c.test if c.test else 'held-out images'})")
    print(f"extractor: {out}\nnext:      bigan eval RUN --extractor {out}")
    return 0
