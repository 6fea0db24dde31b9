"""Images on disk instead of in memory, WebDataset shards, and batches that are read ahead: the same pixels."""

import json
import logging
import os
import shutil
from collections import namedtuple

import pytest
import torch
from data_makers import encode, picture, pixels, png, stylegan_json, write_folder, write_tar, write_zip
from engine_run import run, tiny_system  # noqa: F401 (a fixture)

from bigan import data
from bigan.data import DataError, cache, encoded
from bigan.engine import checkpoint


@pytest.fixture
def folder(tmp_path):
    x = pixels(6, 8)
    return write_folder(tmp_path / "images", {f"{'ab'[k % 2]}/{k}.png": png(x[k]) for k in range(6)})


@pytest.fixture
def no_decoding(monkeypatch):
    """From `no_decoding()` on, decoding an image fails."""

    def refuse(*_):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(encoded, "decode", refuse)


def same(a: data.Images, b: data.Images) -> bool:
    index = torch.arange(len(a))
    labels = a.labels is b.labels is None or torch.equal(a.labels, b.labels)
    told = (a.shape, a.classes, a.skipped, a.fingerprint, len(a), a.name)
    return (
        labels
        and told == (b.shape, b.classes, b.skipped, b.fingerprint, len(b), b.name)
        and a.names == b.names
        and torch.equal(a.take(index), b.take(index))
        and torch.equal(a.images, b.images)
    )


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_cache_holds_what_memory_would(folder, tmp_path, kind, no_decoding):
    source = folder
    if kind == "zip":
        files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.png"))}
        source = write_zip(tmp_path / "images.zip", files)
    plain = data.load(source)
    first = data.load(source, cache=tmp_path / "cache")
    no_decoding()
    again = data.load(source, cache=tmp_path / "cache")
    assert isinstance(first, cache.Mapped) and same(plain, first) and same(plain, again)


def test_parts_of_it_are_parts_of_the_same(folder, tmp_path):
    plain, mapped = data.load(folder), data.load(folder, cache=tmp_path / "cache")
    for a, b in zip(data.split(plain, 2, 0), data.split(mapped, 2, 0), strict=True):
        index = torch.arange(len(a))
        assert torch.equal(a.take(index), b.take(index)) and torch.equal(a.labels, b.labels)
        assert torch.equal(a.images, b.images) and a.names == b.names
        assert b.fingerprint != mapped.fingerprint
    some = torch.tensor([4, 1])
    assert torch.equal(mapped[some][torch.tensor([1])].take(torch.tensor([0])), plain.images[1:2])


@pytest.mark.parametrize("change", ["a file", "size", "channels"])
def test_another_source_or_decoding_is_another_entry(folder, tmp_path, change):
    data.load(folder, cache=tmp_path / "cache")
    if change == "a file":
        (folder / "a" / "0.png").write_bytes(png(pixels(1, 8, seed=9)[0]))
        os.utime(folder / "a" / "0.png", ns=(1, 1))
    options = {"size": {"size": 4}, "channels": {"channels": 1}}.get(change, {})
    assert same(data.load(folder, cache=tmp_path / "cache", **options), data.load(folder, **options))


def test_other_labels_of_the_same_images_are_another_entry(tmp_path):
    folder = write_folder(tmp_path / "x", {f"{i}.png": png(image) for i, image in enumerate(pixels(3, 8))})
    for labels in ([0, 1, 2], [2, 0, 1]):
        told = [[f"{i}.png", label] for i, label in enumerate(labels)]
        (folder / "dataset.json").write_bytes(stylegan_json(told))
        for _ in range(2):
            assert data.load(folder, cache=tmp_path / "cache").labels.tolist() == labels


@pytest.mark.parametrize("harm", ["pixels cut short", "table cut short", "no table", "half written"])
def test_a_damaged_entry_is_made_anew(folder, tmp_path, harm, caplog):
    data.load(folder, cache=tmp_path / "cache")
    (pixels_,), (table,) = ((tmp_path / "cache").glob(f"*.{suffix}") for suffix in ("u8", "json"))
    if harm == "pixels cut short":
        os.truncate(pixels_, 7)
    elif harm == "table cut short":
        os.truncate(table, 7)
    else:
        table.unlink()
        if harm == "half written":  # what a kill while decoding leaves
            pixels_.rename(pixels_.with_suffix(".u8.tmp"))
    with caplog.at_level(logging.WARNING):
        assert same(data.load(folder, cache=tmp_path / "cache"), data.load(folder))
    assert ("damaged and made anew" in caplog.text) == ("cut" in harm)
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_colour_after_grey_and_bad_images(tmp_path):
    grey, colour = pixels(3, 8, 1), pixels(1, 8)
    files = {"0.png": png(grey[0]), "1.png": b"no image", "2.png": png(grey[1]), "3.png": png(colour[0])}
    root = write_folder(tmp_path / "images", files)
    found = data.load(root, skip_bad=True, cache=tmp_path / "cache")
    assert found.skipped == 1 and same(found, data.load(root, skip_bad=True))
    with pytest.raises(DataError, match=r"cannot read 1\.png"):
        data.load(root, cache=tmp_path / "cache")


def test_a_disk_without_room_and_a_folder_that_is_none(folder, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch, pytest.raises(DataError, match=r"6 x 3 x 8 x 8 bytes .* free there"):
        patch.setattr(shutil, "disk_usage", lambda _: usage(100, 0, 100))
        data.load(folder, cache=tmp_path / "cache")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"--cache .*file"):
        data.load(folder, cache=tmp_path / "file")


@pytest.mark.parametrize("flip", [False, True])
def test_batches_read_ahead_are_the_batches(folder, tmp_path, flip):
    plain, mapped = data.load(folder), data.load(folder, cache=tmp_path / "cache")
    a, b = (data.Batches(images, 2, 3, flip=flip, data_range=(-1.0, 1.0)) for images in (plain, mapped))
    for step in [*range(10), 4, 40, 41, 3]:  # epochs are 3 steps; jumps drop what was read ahead
        assert torch.equal(a(step), b(step)) and torch.equal(a.indices(step), b.indices(step))


def test_training_from_a_cache_stopped_in_mid_epoch_is_the_training_from_memory(tmp_path):
    x = pixels(23, 4, 1)
    folder = write_folder(tmp_path / "images", {f"{k:02d}.png": png(x[k]) for k in range(23)})
    ends = []
    for name, lengths in (("memory", [0.3]), ("cached", [0.17, 0.3])):
        for kimg in lengths:  # an epoch is 20 images
            where = tmp_path / "cache" if name == "cached" else None
            run(tmp_path / name, folder, kimg=kimg, cache=where, log_every=0.01, ema=0.05)
        ends.append(checkpoint.latest(tmp_path / name / "checkpoints"))
    assert ends[0].step == ends[1].step == 30
    assert all(torch.equal(t, ends[1].tensors[key]) for key, t in ends[0].tensors.items())


def test_shards(tmp_path):
    """Two tar files, labels by .cls and .json, a jpeg, what is no image, and names with dots and folders."""
    x = pixels(5, 8)
    first = {
        "a.png": png(x[0]), "a.cls": b"3", "a.txt": b"a caption",
        "deep/b.png": png(x[1]), "deep/b.json": json.dumps({"label": 1}).encode(),
        "only.txt": b"no image",
    }  # fmt: skip
    second = {"a.seg.png": png(x[2]), "a.cls": b" 7\n", "c.JPG": encode(picture(x[3]), "JPEG"), "c.cls": b"0"}
    shards = tmp_path / "shards"
    shards.mkdir()
    write_tar(shards / "x-000000.tar", first, "w")
    write_tar(shards / "x-000001.tar", second, "w")
    (shards / "notes.txt").write_text("not a shard")
    found = data.load(shards)
    assert found.labels.tolist() == [3, 1, 7, 0] and found.images.shape == (4, 3, 8, 8)
    assert torch.equal(found.images[:3], torch.from_numpy(x[:3]))
    assert same(found, data.load(shards, cache=tmp_path / "cache"))
    one = data.load(shards / "x-000001.tar")
    assert torch.equal(one.images, found.images[2:])


def test_shards_without_labels_without_images_and_damaged(tmp_path):
    x = pixels(2, 8)
    some = write_tar(tmp_path / "some.tar", {"a.png": png(x[0]), "b.png": png(x[1]), "b.cls": b"1"}, "w")
    assert data.load(some).labels is None  # not of all
    with pytest.raises(DataError, match="no CIFAR batches and no images in it"):
        data.load(write_tar(tmp_path / "none.tar", {"a.txt": b"x"}, "w"))
    (tmp_path / "bad.tar").write_bytes(b"\0" * 100 + b"nonsense")
    with pytest.raises(DataError, match=r"bad\.tar: cannot be read"):
        data.load(tmp_path / "bad.tar")
    cut = some.read_bytes()[:1200]  # in the middle of the second image
    (tmp_path / "cut.tar").write_bytes(cut)
    with pytest.raises(DataError, match=r"cut\.tar: is cut short"):
        data.load(tmp_path / "cut.tar")
