"""Order, flips and ranges of the batches; the split."""

import numpy as np
import pytest
import torch

from bigan.data import Batches, DataError, Images, scale, split


def numbered(n: int, size: int = 4) -> Images:
    """n images; number i can be told from each row, whichever way it is flipped."""
    x = torch.zeros(n, 3, size, size, dtype=torch.uint8)
    x[:, 0] = (torch.arange(n) % 256)[:, None, None]
    x[:, 1] = (torch.arange(n) // 256)[:, None, None]
    x[:, 2] = torch.arange(size)
    return Images(x, torch.arange(n), None, "numbered")


def numbers(x: torch.Tensor) -> list[int]:
    x = (x * 255).round().long()
    return (x[:, 0, 0, 0] + 256 * x[:, 1, 0, 0]).tolist()


def flipped(x: torch.Tensor) -> list[bool]:
    return (x[:, 2, 0, 0] > x[:, 2, 0, -1]).tolist()


@pytest.mark.parametrize("n, batch", [(12, 4), (13, 4), (7, 7), (1000, 64)])
def test_each_image_once_an_epoch(n, batch):
    batches = Batches(numbered(n), batch, seed=3)
    assert batches.images_per_epoch == n // batch * batch and batches.batch == batch
    epochs = []
    for epoch in range(3):
        seen = [i for k in range(n // batch) for i in numbers(batches(epoch * (n // batch) + k))]
        assert len(seen) == len(set(seen)) == batches.images_per_epoch and set(seen) <= set(range(n))
        epochs.append(seen)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_remainder_is_dropped_by_another_draw_each_epoch():
    batches = Batches(numbered(9), 4, seed=0)
    left = [
        set(range(9)) - set(batches.indices(2 * e).tolist()) - set(batches.indices(2 * e + 1).tolist())
        for e in range(40)
    ]
    assert all(len(rest) == 1 for rest in left) and len(set.union(*left)) > 5


def test_a_batch_is_a_function_of_seed_and_step_alone():
    images = numbered(50)
    forward = Batches(images, 8, seed=5, flip=True)
    straight = [forward(k).clone() for k in range(30)]
    backward = Batches(images, 8, seed=5, flip=True)
    for k in reversed(range(30)):
        assert torch.equal(backward(k), straight[k])
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(Batches(images, 8, seed=5, flip=True)(17), straight[17])
    assert not torch.equal(Batches(images, 8, seed=6, flip=True)(17), straight[17])


def test_order_does_not_change_with_releases():
    """Golden values: a resumed run must see the order it would have seen, whatever was upgraded meanwhile."""
    assert Batches(numbered(10), 5, seed=1).indices(0).tolist() == GOLDEN_FIRST
    assert Batches(numbered(10), 5, seed=1).indices(7).tolist() == GOLDEN_EIGHTH
    assert flipped(Batches(numbered(10), 5, seed=1, flip=True)(7)) == GOLDEN_FLIPS


GOLDEN_FIRST = [5, 8, 4, 6, 0]
GOLDEN_EIGHTH = [7, 4, 5, 9, 8]
GOLDEN_FLIPS = [False, True, False, False, True]


def test_seeds_and_epochs_do_not_share_orders():
    orders = {
        tuple(Batches(numbered(20), 20, seed=seed).indices(epoch).tolist())
        for seed in range(8)
        for epoch in range(8)
    }
    assert len(orders) == 64
    Batches(numbered(20), 20, seed=-1)(0)
    Batches(numbered(20), 20, seed=2**63)(0)


def test_orders_are_uniform():
    """Where image 0 lands, over 2000 epochs, and how often images are flipped: within 5 sigma."""
    batches = Batches(numbered(10), 10, seed=0, flip=True)
    where = torch.stack([batches.indices(epoch) for epoch in range(2000)])
    counts = torch.stack([torch.bincount(where[:, place], minlength=10) for place in range(10)]).float()
    assert (counts - 200).abs().max() < 5 * (2000 * 0.1 * 0.9) ** 0.5
    flips = sum(sum(flipped(batches(epoch))) for epoch in range(1000))
    assert abs(flips - 5000) < 5 * (10_000 * 0.25) ** 0.5


def test_flips_mirror_and_do_nothing_else():
    images = numbered(64)
    plain, mirrored = Batches(images, 64, seed=2)(3), Batches(images, 64, seed=2, flip=True)(3)
    turned = flipped(mirrored)
    assert 10 < sum(turned) < 54 and not any(flipped(plain))
    for a, b, turn in zip(plain, mirrored, turned, strict=True):
        assert torch.equal(a.flip(-1) if turn else a, b)
    assert flipped(Batches(images, 64, seed=2, flip=True)(4)) != turned


def test_flips_do_not_depend_on_the_batch_size():
    images = numbered(64)
    small, large = Batches(images, 16, seed=2, flip=True), Batches(images, 64, seed=2, flip=True)
    assert torch.equal(torch.cat([small(k) for k in range(4)]), large(0))


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (0, 255), (-0.5, 0.5)])
def test_range(low, high):
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    got = Batches(Images(x), 1, 0, data_range=(low, high))(0)
    assert got.dtype == torch.float32 and got.is_contiguous()
    assert got.min() == low and got.max() == high
    torch.testing.assert_close(got.double(), low + x.double() / 255 * (high - low), rtol=1e-6, atol=2e-7)
    assert torch.equal(scale(x, (low, high)), got)


def test_fewer_images_than_a_batch(caplog):
    batches = Batches(numbered(3), 64, seed=0)
    assert batches.batch == batches.images_per_epoch == 3
    assert sorted(numbers(batches(0))) == sorted(numbers(batches(1))) == [0, 1, 2]
    assert "only 3 images: the batch of 64 shrinks to that" in caplog.text


def test_the_data_set_is_neither_copied_nor_changed():
    images = numbered(20)
    before = images.images.clone()
    batches = Batches(images, 5, seed=0, flip=True, data_range=(-1, 1))
    assert batches.images.data_ptr() == images.images.data_ptr()
    for k in range(8):
        batches(k).zero_()
    assert torch.equal(images.images, before)


def test_wrong_arguments():
    with pytest.raises(DataError, match="--batch"):
        Batches(numbered(3), 0, 0)
    with pytest.raises(DataError, match="no images"):
        Batches(numbered(0), 4, 0)
    with pytest.raises(ValueError, match="step"):
        Batches(numbered(3), 1, 0)(-1)


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: the order is made on the host, the batch there"
)
def test_on_a_gpu():
    images = numbered(50)
    host, device = (Batches(images, 8, 5, device, True, (-1, 1)) for device in ("cpu", "cuda"))
    for k in (0, 7, 3):
        torch.testing.assert_close(device(k).cpu(), host(k), rtol=0, atol=1.2e-7)


# Split


@pytest.mark.parametrize("holdout, count", [(10, 10), (0.1, 10), (0.001, 1), (1, 1), (99, 99)])
def test_split(holdout, count):
    images = numbered(100)
    train, held = split(images, holdout, seed=4)
    assert len(held) == count and len(train) == 100 - count
    both = torch.cat([train.labels, held.labels])
    assert both.sort().values.tolist() == list(range(100))
    for part in (train, held):
        assert part.labels.equal(part.labels.sort().values)
        assert part.images[:, 0, 0, 0].long().equal(part.labels)
    again, _ = split(images, holdout, seed=4)
    assert torch.equal(again.labels, train.labels) and again.fingerprint == train.fingerprint
    if count not in (1, 99):
        assert not torch.equal(split(images, holdout, seed=5)[1].labels, held.labels)


def test_no_holdout():
    images = numbered(5)
    train, held = split(images, 0, seed=0)
    assert train is images and len(held) == 0 and held.shape == (3, 4, 4)
    assert held.fingerprint != train.fingerprint


@pytest.mark.parametrize("holdout", [5, 6, -1, 1.0, 1.5, -0.1])
def test_impossible_split(holdout):
    with pytest.raises(DataError, match="hold"):
        split(numbered(5), holdout, seed=0)


def test_fingerprint_sees_pixels_order_and_shape():
    x = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    prints = {
        Images(a).fingerprint for a in (x, x.flip(-1), x.reshape(1, 1, 2, 8), x.reshape(4, 1, 2, 2), x + 1)
    }
    assert len(prints) == 5 and all(len(p) == 16 for p in prints)
    assert Images(x.clone(), torch.ones(1), ["a"], "other").fingerprint in prints
