"""Attributes of images: where they are read from, that they stay with their images, and what is refused."""

import numpy as np
import pytest
import torch
from data_makers import npz, pixels, png, stylegan_json, write_folder, write_zip

from bigan import data
from bigan.data import Batches, DataError, Images, conditioned
from bigan.data import batches as batches_module

N, Y = 6, 3
VALUES = [[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
NAMES = ["Bald", "Male", "Smiling"]


def table(names, values=VALUES, columns=NAMES, low=-1, count=None) -> bytes:
    """As CelebA's is: with -1 for no, columns of one width, and a space at the end of the names."""
    lines = [str(len(names) if count is None else count), " ".join(columns) + " "]
    lines += [
        f"{name} " + " ".join(f"{v or low:2d}" for v in row) for name, row in zip(names, values, strict=True)
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def kaggles(names, values=VALUES, columns=NAMES) -> bytes:
    lines = [",".join(["image_id", *columns])]
    lines += [",".join([name, *(str(v or -1) for v in row)]) for name, row in zip(names, values, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def files(x, folder="img/") -> dict[str, bytes]:
    return {f"{folder}{i + 1:06d}.jpg": png(image) for i, image in enumerate(x)}


JPGS = [f"{i + 1:06d}.jpg" for i in range(N)]


def check(images, values=VALUES, names=NAMES):
    assert images.attributes.dtype == torch.uint8 and images.attributes.tolist() == values
    assert images.attribute_names == names


@pytest.mark.parametrize("low", [-1, 0])
@pytest.mark.parametrize("place", ["inside", "in a folder inside", "beside"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_celebas_table(tmp_path, kind, place, low):
    text, x = table(JPGS[::-1], VALUES[::-1], low=low), files(pixels(N, 8))
    if place == "beside":
        (tmp_path / "list_attr_celeba.txt").write_bytes(text)
    else:
        x["Anno/list_attr_celeba.txt" if "folder" in place else "list_attr_celeba.txt"] = text
    path = write_folder(tmp_path / "s", x) if kind == "folder" else write_zip(tmp_path / "s.zip", x)
    check(data.load(path))


@pytest.mark.parametrize("kind", ["folder", "zip", "beside"])
def test_celebas_table_as_kaggle_has_it(tmp_path, kind):
    text, x = kaggles(JPGS[::-1], VALUES[::-1]), files(pixels(N, 8), "img_align_celeba/img_align_celeba/")
    if kind == "beside":
        (tmp_path / "list_attr_celeba.csv").write_bytes(text)
    else:
        x["list_attr_celeba.csv"] = text
    path = write_folder(tmp_path / "s", x) if kind != "zip" else write_zip(tmp_path / "s.zip", x)
    check(data.load(path))


@pytest.mark.parametrize(
    "text, message",
    [
        (kaggles(JPGS[:5], VALUES[:5]), "lacks 1 of 6 images, such as img/000006.jpg"),
        (kaggles(JPGS)[:-4], "line 7 has 2 attributes, and 3 have a name"),  # cut off
        (kaggles(JPGS).replace(b"-1", b"no"), "line 2: attributes must be .* got 'no'"),
        (table(JPGS), "must start with image_id and the attributes' names"),
        (b"", "must start with image_id"),
    ],
)
def test_bad_tables_of_kaggle(tmp_path, text, message):
    path = write_folder(tmp_path / "s", {**files(pixels(N, 8)), "list_attr_celeba.csv": text})
    with pytest.raises(DataError, match=f"list_attr_celeba.csv: {message}"):
        data.load(path)


def test_a_table_of_jpegs_is_that_of_pngs_and_one_with_folders_may_repeat_names(tmp_path):
    images = {f"{c}/1.png": png(image) for c, image in zip("ab", pixels(2, 8), strict=True)}
    for name, text in (
        ("short", table(["1.png", "2.png"], VALUES[:2])),
        ("full", table(["b/1.jpg", "a/1.jpg"], VALUES[:2])),
    ):
        write_folder(tmp_path / name, {**images, "list_attr_celeba.txt": text})
    check(data.load(tmp_path / "full"), VALUES[1::-1])
    assert data.load(tmp_path / "full").labels.tolist() == [0, 1]
    assert data.load(tmp_path / "short").attributes is None  # which of the two it means is not known


def test_a_table_of_other_images_is_not_used(tmp_path, caplog):
    (tmp_path / "list_attr_celeba.txt").write_bytes(table(JPGS))
    write_folder(tmp_path / "hq", {"00001.png": png(pixels(1, 8)[0])})
    assert data.load(tmp_path / "hq").attributes is None
    assert "list_attr_celeba.txt: has none of the images and is not used" in caplog.text


@pytest.mark.parametrize(
    "text, message",
    [
        (table(JPGS[:5], VALUES[:5]), "lacks 1 of 6 images, such as img/000006.jpg"),
        (table(JPGS, [*VALUES[:5], [1, 0]]), "line 8 has 2 attributes, and 3 have a name"),
        (table(JPGS, [*VALUES[:5], [1, 0, 1, 1]]), "line 8 has 4 attributes, and 3 have a name"),
        (table(JPGS, [*VALUES[:5], [1, 2, 0]]), "line 8: attributes must be -1 and 1, or 0 and 1, got '2'"),
        (table(JPGS).replace(b"-1", b" ?"), "line 3: attributes must be .* got '\\?'"),
        (table(JPGS).replace(b"-1", b"0", 1), "attributes must be .* got -1, 0, 1"),
        (table(JPGS, count=7), "should have 7 images, and has 6: copy it again"),
        (table(JPGS)[4:], "must start with the number of images and a line of attributes' names"),
        (b"", "must start with the number"),
        (b"6\n\n", "must start with the number"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_bad_tables(tmp_path, kind, text, message):
    x = {**files(pixels(N, 8)), "list_attr_celeba.txt": text}
    path = write_folder(tmp_path / "s", x) if kind == "folder" else write_zip(tmp_path / "s.zip", x)
    with pytest.raises(DataError, match=f"list_attr_celeba.txt: {message}"):
        data.load(path)


@pytest.mark.parametrize(
    "given, want",
    [
        (np.array(VALUES), torch.tensor(VALUES, dtype=torch.uint8)),
        (np.array(VALUES, bool), torch.tensor(VALUES, dtype=torch.uint8)),
        (2 * np.array(VALUES, np.int8) - 1, torch.tensor(VALUES, dtype=torch.uint8)),
        (np.array(VALUES) - 0.25, torch.tensor(VALUES) - 0.25),
        (np.zeros((N, 1), np.float16), torch.zeros(N, 1)),
    ],
)
def test_npz(tmp_path, given, want):
    (tmp_path / "s.npz").write_bytes(npz(images=pixels(N, 8), attributes=given, labels=np.arange(N)))
    found = data.load(tmp_path / "s.npz")
    torch.testing.assert_close(found.attributes, want)
    assert found.attribute_names is None and found.labels.tolist() == list(range(N))
    assert torch.equal(data.load(tmp_path / "s.npz", limit=2).attributes, want[[0, 3]])


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((5, 2), int), "6 images, but attributes of 5"),
        (np.zeros(N, int), r"attributes must be \[N, Y\], got \[6\]"),
        (np.zeros((N, 0), int), r"got \[6, 0\]"),
        (np.full((N, 2), 3), "attributes must be -1 and 1, or 0 and 1, or floating point, got 3"),
        (np.arange(2 * N).reshape(N, 2), "got 0, 1, 2, 3, 4, ..."),
        (np.full((N, 2), np.nan), "attributes must be finite numbers"),
        (np.full((N, 2), 1e300), "attributes must be finite numbers"),
        (np.full((N, 2), "yes"), "got <U3"),
    ],
)
def test_bad_npz(tmp_path, given, message):
    (tmp_path / "s.npz").write_bytes(npz(images=pixels(N, 8), attributes=given))
    with pytest.raises(DataError, match=f"s.npz: .*{message}"):
        data.load(tmp_path / "s.npz")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_stylegans_vectors(tmp_path, kind):
    x = {f"{i}.png": png(image) for i, image in enumerate(pixels(3, 8))}
    x["dataset.json"] = stylegan_json([["2.png", [0, 1]], ["0.png", [0.5, -2]], ["1.png", [1e3, 0]]])
    path = write_folder(tmp_path / "s", x) if kind == "folder" else write_zip(tmp_path / "s.zip", x)
    found = data.load(path)
    assert found.attributes.dtype == torch.float32 and found.labels is None
    assert found.attributes.tolist() == [[0.5, -2], [1000, 0], [0, 1]]


@pytest.mark.parametrize(
    "pairs, message",
    [
        ([["0.png", [0.5]], ["1.png", [1, 2]]], "dataset.json has vectors of 1 to 2 numbers"),
        ([["0.png", [0.5]], ["1.png", [float("nan")]]], "dataset.json: attributes must be finite"),
        ([["0.png", [0.5]]], "dataset.json lacks 1 of 2 images, such as 1.png"),
    ],
)
def test_bad_vectors(tmp_path, pairs, message):
    x = {f"{i}.png": png(image) for i, image in enumerate(pixels(2, 8))}
    path = write_zip(tmp_path / "s.zip", {**x, "dataset.json": stylegan_json(pairs)})
    with pytest.raises(DataError, match=message):
        data.load(path)


@pytest.mark.parametrize("cached", [False, True])
def test_attributes_stay_with_their_images(tmp_path, cached):
    """Through a size, a cache, unreadable images, a limit, a split and an index."""
    x = pixels(N, 8)
    names = sorted(files(x))
    bad = {**files(x), names[1]: b"no image", "list_attr_celeba.txt": table(JPGS)}
    path = write_folder(tmp_path / "s", bad)
    how = {"size": 4, "skip_bad": True, "cache": tmp_path / "cache" if cached else None}
    for _ in range(2):  # the second time from the cache
        images = data.load(path, **how)
        check(images, [VALUES[i] for i in (0, 2, 3, 4, 5)])
        for part in data.split(images, 2, seed=3):
            check(part, [VALUES[names.index(name)] for name in part.names])
        check(images[torch.tensor([4, 0])], [VALUES[5], VALUES[0]])
        (found,) = images.conditions(torch.tensor([3, 3]))
        assert found.tolist() == [VALUES[4]] * 2
        check(data.load(path, **how, limit=2), [VALUES[0], VALUES[3]])
    (path / "list_attr_celeba.txt").write_bytes(table(JPGS, VALUES[::-1]))  # a cache must see that
    check(data.load(path, **how), [VALUES[5 - i] for i in (0, 2, 3, 4, 5)])


# What a system asks for


def images(**about) -> Images:
    return Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), name="pets", **about)


BOTH = dict(labels=torch.tensor([2, 0, 1, 2]), classes=["cat", "dog", "emu"], attributes=torch.ones(4, 2))


def test_attributes_or_else_classes():
    both = images(**BOTH, attribute_names=["a", "b"])
    assert torch.equal(conditioned(both, 2).attributes, torch.ones(4, 2))
    by_class = conditioned(both, 3)
    assert by_class.attributes.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert by_class.attributes.dtype == torch.uint8 and by_class.attribute_names == ["cat", "dog", "emu"]
    none = conditioned(both, 0)
    assert none.attributes is None and none.attribute_names is None and none.conditions(torch.arange(2)) == ()
    assert both.attributes is not None and both.attribute_names == ["a", "b"]  # the argument stays what it is
    assert conditioned(images(attributes=torch.ones(4, 2)), 2).attribute_names == ["0", "1"]
    assert conditioned(images(labels=BOTH["labels"]), 3).attribute_names == ["0", "1", "2"]


def test_digits_by_class():
    digits = data.load("digits", size=8)
    found = conditioned(digits, 10)
    assert torch.equal(found.attributes.argmax(1), digits.labels) and found.attributes.sum() == len(digits)
    assert found.attribute_names == list("0123456789") and found.fingerprint == digits.fingerprint


@pytest.mark.parametrize(
    "about, message",
    [
        (BOTH, "--labels 4 asks for as many .* which have 2 attributes and 3 classes"),
        (dict(labels=torch.arange(4) % 2), "which have 2 classes"),
        ({}, "which have neither"),
        (dict(labels=torch.arange(4) - 1), "which have neither"),
    ],
)
def test_as_many_as_asked_for(about, message):
    with pytest.raises(DataError, match=f"pets: .*{message}"):
        conditioned(images(**about), 4)


def test_those_of_the_training():
    cats = images(**BOTH)
    assert conditioned(cats, 3, ["cat", "dog", "emu"]).attributes.shape == (4, 3)
    with pytest.raises(DataError, match="pets: attribute 1 is 'dog', in the run 'fox'"):
        conditioned(cats, 3, ["cat", "fox", "emu"])
    conditioned(cats, 3, ["0", "1", "2"])  # names on one side alone say nothing
    unnamed = images(labels=BOTH["labels"])
    conditioned(unnamed, 3, ["cat", "fox", "emu"])
    assert conditioned(unnamed, 5, list("abcde")).attributes.shape == (4, 5)  # not every class need be there
    with pytest.raises(DataError, match=r"pets: the run's --labels 5 asks for .* and 3 classes"):
        conditioned(cats, 5, list("abcde"))


# Batches


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("where", ["memory", "ahead", "cache"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_batch_has_the_attributes_of_its_images(tmp_path, monkeypatch, ranks, where, flip):
    """Each image is of one grey, which its attributes spell in binary."""
    n = 37
    grey = torch.arange(n)
    attributes = (grey[:, None] >> torch.arange(6)) & 1
    if where == "cache":
        x = {f"{i:02d}.png": png(np.full((3, 4, 4), i, np.uint8)) for i in range(n)}
        names = [f"{i:02d}.png" for i in range(n)]
        x["list_attr_celeba.txt"] = table(names, attributes.tolist(), columns=list("abcdef"))
        source = data.load(write_folder(tmp_path / "s", x), cache=tmp_path / "cache")
    else:
        source = Images(grey.to(torch.uint8)[:, None, None, None].expand(n, 3, 4, 4), attributes=attributes)
    if where == "ahead":
        monkeypatch.setattr(batches_module, "fits", lambda *_: False)
    parts = [Batches(source, 4, seed=2, flip=flip, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert (parts[0]._ahead is not None) == (where != "memory")
    for k in (0, 1, 8, 9, 25, 3):
        for part in parts:
            (labels,) = part.labels(k)
            shown = (part(k)[:, 0, 0, 0] * 255).round().long()
            assert labels.shape == (4 // ranks, 6)
            assert torch.equal((labels.long() << torch.arange(6)).sum(1), shown)
            assert torch.equal(part.labels(k)[0], labels)


def test_batches_without_attributes_have_no_labels():
    assert Batches(images(), 2, seed=0).labels(1) == ()
