"""Training of the classifier that serves as an extractor: AdamW, one cycle, shifts and mirror images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bigan import data, ops
from bigan.engine.progress import tell
from bigan.engine.quickconv import use_quick_convs
from bigan.metrics.checks import MetricError, need
from bigan.metrics.extractors.classifier import Net, normalise

PAD = 8  # a shift of up to this part of the side: 4 of 32 pixels


@dataclass(frozen=True)
class How:
    epochs: int
    batch: int
    lr: float  # the peak
    widths: tuple[int, ...]
    flip: bool
    seed: int


def classes(images: data.Images) -> int:
    """How many there are; MetricError where that is no classification."""
    if images.labels is None:
        raise MetricError(f"{images.name}: its images have no labels; put them into a folder for each class")
    count = int(images.labels.max()) + 1
    need(len(images.labels.unique()) > 1, "classifier", f"{images.name} must have two classes or more", 1)
    return count


def train(images: data.Images, how: How, device: torch.device | str = "cpu") -> Net:
    """A trained network, in eval mode.  images: labelled.  Same seed, same weights, on one machine."""
    count = classes(images)
    assert images.labels is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        net = Net(images.shape[0], count, how.widths).to(device).to(memory_format=torch.channels_last)
    use_quick_convs(net)
    order = data.Batches(images, how.batch, how.seed)
    labels = images.labels
    total = how.epochs * order.steps_per_epoch
    opt = torch.optim.AdamW(net.parameters(), lr=how.lr, weight_decay=0.05)
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, how.lr, total_steps=max(2, total + 1), pct_start=0.2)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    rng = torch.tensor([how.seed, 0], device=device)
    with tqdm(total=total, desc="classifier", unit="step", disable=None) as bar:
        for step in range(total):
            pick = order.indices(step)
            rng[1] = step
            x = augmented(images.take(pick).to(device), how.flip, rng)
            loss = loss_of(net(x)[1], labels[pick].to(device))
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            cycle.step()
            bar.update()
            if step % 50 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
            if (
                bar.disable and (step + 1) % order.steps_per_epoch == 0
            ):  # a line an epoch where nobody watches
                tell(
                    f"classifier: epoch {(step + 1) // order.steps_per_epoch} of {how.epochs}, loss {loss.item():.3f}"
                )
    if not all(p.isfinite().all() for p in net.parameters()):
        raise MetricError(f"classifier: its training diverged; try a smaller --lr than {how.lr:g}")
    return net.eval()


def augmented(x: Tensor, flip: bool, rng: Tensor) -> Tensor:
    """Shifted, mirrored, normalised.  [B, C, S, S] uint8 -> float32, channels_last"""
    x = x.contiguous(memory_format=torch.channels_last)
    pad = x.shape[-1] // PAD
    return normalise(ops.augment_pair(x, pad=pad, mode="zero", flip=0.5 if flip else 0.0, rng=rng))


def accuracy(net: Net, images: data.Images) -> float:
    """Share of the images that are classified right."""
    classes(images)
    assert images.labels is not None
    device = next(net.parameters()).device
    right = 0
    with torch.inference_mode():
        for x, label in zip(images.images.split(256), images.labels.split(256), strict=True):
            x = x.to(device).contiguous(memory_format=torch.channels_last).float()
            right += (net(normalise(x))[1].argmax(1).cpu() == label).sum().item()
    return right / len(images)
