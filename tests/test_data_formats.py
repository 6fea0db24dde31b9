"""Every format, written tiny and read back."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from data_makers import (
    LABELS,
    cifar10_binary,
    cifar100_binary,
    cifar_pickle,
    idx,
    in_classes,
    mat,
    npz,
    pixels,
    png,
    python2_pickle,
    stylegan_json,
    write_folder,
    write_tar,
    write_zip,
)

from bigan import data
from bigan.data import DataError

CLASSES = ["a", "b", "c"]


def check(got: data.Images, x: np.ndarray, labels=None, classes=None) -> None:
    assert got.images.dtype == torch.uint8 and got.images.is_contiguous()
    assert torch.equal(got.images, torch.from_numpy(np.ascontiguousarray(x)))
    assert (got.labels.tolist() if got.labels is not None else None) == labels
    assert got.classes == classes
    assert got.skipped == 0


def in_order(x: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """What in_classes(x) reads as: sorted by class, then by name."""
    order = sorted(range(len(x)), key=lambda i: (LABELS[i], i))
    return x[order], [LABELS[i] for i in order]


# Folders and zips of images


@pytest.mark.parametrize("prefix", ["", "all/", "x/y/"])
@pytest.mark.parametrize("kind", ["folder", "stored", "deflated"])
def test_class_folders(tmp_path, kind, prefix):
    x = pixels()
    files = {prefix + name: image for name, image in in_classes(x).items()}
    files |= {
        "notes.txt": b"no image",
        "__MACOSX/a/0.png": b"shadow",
        ".hidden/1.png": b"",
        "a/._0.png": b"shadow",
    }
    if kind == "folder":
        path = write_folder(tmp_path / "set", files)
    else:
        path = write_zip(tmp_path / "set.zip", files, getattr(zipfile, f"ZIP_{kind.upper()}"))
    got = data.load(path)
    check(got, *in_order(x), CLASSES)
    assert got.name == str(path)


def test_order_is_by_name_and_not_by_directory(tmp_path):
    x = pixels(12, 4)
    names = [f"{i:02d}.png" for i in range(12)]
    for i in np.random.default_rng(0).permutation(12):
        write_folder(tmp_path, {names[i]: png(x[i])})
    check(data.load(tmp_path), x)


def test_nested_folders_of_a_class(tmp_path):
    x = pixels(3, 8)
    write_folder(tmp_path, {"cat/grey/1.png": png(x[0]), "cat/2.png": png(x[1]), "dog/1.png": png(x[2])})
    got = data.load(tmp_path)
    check(got, x[[1, 0, 2]], [0, 0, 1], ["cat", "dog"])


def test_images_outside_folders_have_no_labels(tmp_path):
    x = pixels(2, 8)
    check(data.load(write_folder(tmp_path, {"0.png": png(x[0]), "a/1.png": png(x[1])})), x)


def test_one_folder_is_no_class(tmp_path):
    x = pixels(2, 8)
    check(data.load(write_zip(tmp_path / "s.zip", {"img/0.png": png(x[0]), "img/1.png": png(x[1])})), x)


def test_train_is_used_and_test_is_not(tmp_path, caplog):
    x = pixels(4, 8)
    files = dict(
        zip(
            ["set/test/a/0.png", "set/test/b/0.png", "set/Train/a/0.png", "set/Train/b/1.png"],
            map(png, x),
            strict=True,
        )
    )
    check(data.load(write_zip(tmp_path / "s.zip", files)), x[2:], [0, 1], ["a", "b"])
    assert "set/Train/" in caplog.text and "set/test/" in caplog.text


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("form", ["list", "object", "null"])
def test_stylegan_labels(tmp_path, kind, form):
    x = pixels(4, 8)
    names = [f"0000{i // 2}/img{i}.png" for i in range(4)]
    labels = [7, 0, 3, 7]
    table = {
        "list": [*zip(names, labels, strict=True)][::-1],
        "object": dict(zip(names, labels, strict=True)),
        "null": None,
    }[form]
    files = {**dict(zip(names, map(png, x), strict=True)), "dataset.json": stylegan_json(table)}
    path = write_folder(tmp_path / "s", files) if kind == "folder" else write_zip(tmp_path / "s.zip", files)
    check(data.load(path), x, labels if table else None)


def test_stylegan_labels_in_a_folder_of_the_zip(tmp_path):
    x = pixels(2, 8)
    files = {
        "set/0.png": png(x[0]),
        "set/1.png": png(x[1]),
        "set/dataset.json": stylegan_json([["0.png", 4], ["1.png", 2]]),
    }
    check(data.load(write_zip(tmp_path / "s.zip", files)), x, [4, 2])


@pytest.mark.parametrize(
    "text, message",
    [
        (stylegan_json([["0.png", 1]]), "lacks 1 of 2 images, such as 1.png"),
        (b"{}", "dataset.json is not"),
        (b"[1, 2", "dataset.json is not"),
        (b'{"labels": 3}', "dataset.json is not"),
        (b'{"labels": [1]}', "dataset.json is not"),
        (b"[" * 100_000, "dataset.json is not"),
    ],
)
def test_bad_stylegan_labels(tmp_path, text, message):
    x = pixels(2, 8)
    path = write_zip(tmp_path / "s.zip", {"0.png": png(x[0]), "1.png": png(x[1]), "dataset.json": text})
    with pytest.raises(DataError, match=message):
        data.load(path)


@pytest.mark.parametrize("label", ["cat", -1, 0.5, [], ["a"], [True], None])
def test_labels_of_another_kind_are_left_out(tmp_path, caplog, label):
    x = pixels(1, 8)
    path = write_zip(
        tmp_path / "s.zip", {"0.png": png(x[0]), "dataset.json": stylegan_json([["0.png", label]])}
    )
    check(data.load(path), x)
    assert "not class numbers" in caplog.text


def test_windows_names_in_a_zip(tmp_path):
    x = pixels()
    files = {name.replace("/", "\\"): image for name, image in in_classes(x).items()}
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name, image in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as some Windows programs write it
            archive.writestr(info, image)
    check(data.load(tmp_path / "s.zip"), *in_order(x), CLASSES)


def test_links_are_followed_but_not_in_circles(tmp_path):
    x = pixels(2, 8)
    real = write_folder(tmp_path / "elsewhere", {"0.png": png(x[0])})
    root = write_folder(tmp_path / "set", {"b/1.png": png(x[1])})
    os.symlink(real, root / "a")
    os.symlink(root, root / "b" / "up")
    check(data.load(root), x, [0, 1], ["a", "b"])


# CIFAR


def test_cifar10_binary_folder(tmp_path):
    x, y = pixels(6), pixels(6, seed=1)
    files = {
        "data_batch_1.bin": cifar10_binary(x),
        "data_batch_2.bin": cifar10_binary(y),
        "test_batch.bin": cifar10_binary(pixels(6, seed=2)),
        "batches.meta.txt": b"a\nb\nc\n",
        "readme.html": b"",
    }
    both = np.concatenate([x, y])
    check(data.load(write_folder(tmp_path / "cifar-10-batches-bin", files)), both, LABELS * 2, CLASSES)
    check(data.load(tmp_path), both, LABELS * 2, CLASSES)  # the folder around it
    check(data.load(tmp_path / "cifar-10-batches-bin" / "test_batch.bin"), pixels(6, seed=2), LABELS, CLASSES)
    tar = write_tar(
        tmp_path / "c.tar.gz", {f"cifar-10-batches-bin/{name}": blob for name, blob in files.items()}
    )
    check(data.load(tar), both, LABELS * 2, CLASSES)


def test_cifar10_pickled_folder(tmp_path):
    import pickle

    parts = [pixels(6, seed=i) for i in range(11)]
    files = {f"data_batch_{i + 1}": cifar_pickle(part, protocol=min(i, 5)) for i, part in enumerate(parts)}
    files["test_batch"] = cifar_pickle(pixels(6, seed=99))
    files["batches.meta"] = pickle.dumps({b"label_names": [b"a", b"b", b"c"], "num_vis": 3072}, 2)
    want = np.concatenate(parts), LABELS * 11, CLASSES
    check(data.load(write_folder(tmp_path / "cifar-10-batches-py", files)), *want)
    check(data.load(tmp_path / "cifar-10-batches-py" / "test_batch"), pixels(6, seed=99), LABELS, CLASSES)
    tar = write_tar(
        tmp_path / "c.tar.gz", {f"cifar-10-batches-py/{name}": blob for name, blob in files.items()}
    )
    check(data.load(tar), *want)


def test_pickle_of_python_2(tmp_path):
    x = pixels()
    (tmp_path / "data_batch_1").write_bytes(python2_pickle(x))
    check(data.load(tmp_path / "data_batch_1"), x, LABELS)
    numpy2 = python2_pickle(x).replace(b"numpy.core", b"numpy._core")
    (tmp_path / "data_batch_1").write_bytes(numpy2)
    check(data.load(tmp_path), x, LABELS)


def test_pickle_with_numpy_labels(tmp_path):
    x = pixels()
    for labels in (np.array(LABELS), [np.int64(label) for label in LABELS]):
        import pickle

        for protocol in range(6):
            blob = pickle.dumps({b"data": np.asfortranarray(x.reshape(6, -1)), b"labels": labels}, protocol)
            (tmp_path / "train").write_bytes(blob)
            check(data.load(tmp_path / "train"), x, LABELS)


def test_cifar100(tmp_path):
    x = pixels()
    names = b"a\nb\nc\n"
    folder = write_folder(tmp_path / "bin", {"train.bin": cifar100_binary(x), "fine_label_names.txt": names})
    check(data.load(folder), x, LABELS, CLASSES)
    (tmp_path / "train").write_bytes(cifar_pickle(x, key="fine_labels"))
    check(data.load(tmp_path / "train"), x, LABELS)


@pytest.mark.parametrize(
    "name, blob, message",
    [
        ("data_batch_1.bin", cifar10_binary(pixels())[:-1], "no whole number of CIFAR's records"),
        ("data_batch_1.bin", b"", "no whole number"),
        ("data_batch_1.bin", b"\xff" + bytes(3072), "label 255"),
        ("data_batch_1", cifar_pickle(pixels())[:-900], "damaged pickle"),
        ("data_batch_1", cifar_pickle(pixels(size=16)), r"'data' must be an array \[N, 3072\]"),
        ("data_batch_1", cifar_pickle(pixels(), labels=[0, 1]), "must be 6 integers"),
        ("data_batch_1", cifar_pickle(pixels(), labels=["cat"] * 6), "must be 6 integers"),
        ("data_batch_1", b"\x80\x02]q\x00.", "holds a list and not a dictionary"),
    ],
)
def test_damaged_cifar(tmp_path, name, blob, message):
    (tmp_path / name).write_bytes(blob)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(DataError, match=message) as error:
            data.load(path)
        assert name in str(error.value)


def test_tar_of_images_tells_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no CIFAR batches .* give the tar"):
        data.load(write_tar(tmp_path / "s.tar.gz", {"0.png": b""}))


# MNIST, SVHN, NumPy


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_mnist(tmp_path, zipped, below):
    x, end = pixels(6, 28, 1), ".gz" if zipped else ""
    files = {
        f"train-images-idx3-ubyte{end}": idx(x[:, 0], zipped),
        f"train-labels-idx1-ubyte{end}": idx(np.array(LABELS, np.uint8), zipped),
        f"t10k-images-idx3-ubyte{end}": idx(x[:1, 0], zipped),
    }
    folder = write_folder(tmp_path / below, files)
    check(data.load(tmp_path), x, LABELS)
    check(data.load(folder / f"train-images-idx3-ubyte{end}"), x, LABELS)
    check(data.load(folder / f"t10k-images-idx3-ubyte{end}"), x[:1])


@pytest.mark.parametrize(
    "blob, message",
    [
        (idx(pixels(2, 4, 1)[:, 0])[:-1], "truncated"),
        (idx(np.zeros(4, np.uint8)), "these are labels"),
        (b"\0\0\x08\x03" + b"\x7f\xff\xff\xff" * 3, "GiB of memory"),
        (b"\0\0\x0d\x03" + bytes(12), "not an idx file of bytes"),
        (b"\0\0", "cannot be read"),
    ],
)
def test_damaged_idx(tmp_path, blob, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(blob)
    with pytest.raises(DataError, match=message):
        data.load(tmp_path / "train-images-idx3-ubyte")


@pytest.mark.parametrize("compressed", [False, True])
def test_svhn(tmp_path, compressed):
    savemat = pytest.importorskip("scipy.io", reason="writes the file to be read").savemat
    x, y = pixels(), np.array([[10], [1], [9], [2], [3], [4]], np.float64)
    arrays = {"extra": np.zeros((2, 2)), "X": x.transpose(2, 3, 1, 0), "y": y}
    savemat(tmp_path / "train_32x32.mat", arrays, do_compression=compressed)
    check(data.load(tmp_path / "train_32x32.mat"), x, [0, 1, 9, 2, 3, 4], list("0123456789"))


@pytest.mark.parametrize(
    "blob, message",
    [
        (b"", "not a MATLAB 5 file"),
        (b"MATLAB 7.3 MAT-file" + bytes(200), "HDF5"),
        (mat(y=np.zeros((3, 1), np.uint8)), "no X"),
        (mat(X=np.zeros((2, 2, 3), np.uint8)), r"X must be .* got \[2, 2, 3\]"),
        (mat(X=np.zeros((2, 2, 3, 4), np.uint8))[:-20], "truncated"),
        (mat(X=np.zeros((2, 2, 3, 4), np.uint8), y=np.zeros((3, 1), np.uint8)), "4 images, but labels"),
    ],
)
def test_bad_svhn(tmp_path, blob, message):
    (tmp_path / "train_32x32.mat").write_bytes(blob)
    with pytest.raises(DataError, match=message):
        data.load(tmp_path / "train_32x32.mat")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NHW"])
def test_npz(tmp_path, layout, dtype):
    x = pixels(6, 16, 1 if layout == "NHW" else 3)
    a = {"NCHW": x, "NHWC": x.transpose(0, 2, 3, 1), "NHW": x[:, 0]}[layout]
    a = a if dtype == np.uint8 else (a / 255).astype(dtype)
    (tmp_path / "s.npz").write_bytes(npz(images=a, labels=np.array(LABELS)))
    check(data.load(tmp_path / "s.npz"), x, LABELS)
    np.save(tmp_path / "s.npy", a)
    check(data.load(tmp_path / "s.npy"), x)


def test_npz_without_labels_or_name(tmp_path):
    x = pixels(6, 16)
    (tmp_path / "s.npz").write_bytes(npz(whatever=x))
    check(data.load(tmp_path / "s.npz"), x)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"a": np.zeros(3), "b": np.zeros(3)}, "no array named 'images' in it; it has a, b"),
        ({"images": np.zeros((2, 5, 4, 4), np.uint8)}, r"got \[2, 5, 4, 4\]"),
        ({"images": np.zeros((2, 4, 4), np.int64)}, "uint8, or float in .*got int64"),
        ({"images": np.full((2, 4, 4), 255.0)}, r"must lie in \[0, 1\], got 255 to 255"),
        ({"images": np.full((2, 4, 4), np.nan)}, "must lie in"),
        (
            {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(3, int)},
            "2 images, but labels of shape",
        ),
        ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros((2, 2))}, "labels must be"),
        ({"images": np.zeros((0, 4, 4), np.uint8)}, "no images in it"),
        ({"images": np.zeros((2, 0, 4), np.uint8)}, "some pixels"),
        ({"images": np.array([[[{}]]])}, "cannot be read as a NumPy file.*allow_pickle"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    (tmp_path / "s.npz").write_bytes(npz(**arrays))
    with pytest.raises(DataError, match=message):
        data.load(tmp_path / "s.npz")


def test_digits():
    got = data.load("digits")
    assert got.images.shape == (1797, 1, 8, 8) and got.classes == list("0123456789")
    assert got.labels[:4].tolist() == [0, 1, 2, 3]
    assert got.images.unique().numel() == 17 and got.images.max() == 255
    assert data.load("digits").fingerprint == got.fingerprint
    assert (got.images[0, 0, 0].float() * 16 / 255).round().tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert (got.images.double() * 16 / 255).round().sum() == 561718  # load_digits().data.sum()
    large = data.load("digits", size=32, channels=3)
    assert large.images.shape == (1797, 3, 32, 32) and (large.images[:, 0] == large.images[:, 2]).all()
    means = large.images.float().mean((1, 2, 3)) - got.images.float().mean((1, 2, 3))
    assert means.abs().max() < 6  # enlarged, and nothing else


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="comes with scikit-learn: pip install scikit-learn"):
        data.load("digits")


# Names and paths


def test_named_copies(tmp_path, monkeypatch):
    x = pixels()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BIGAN_DATA", raising=False)
    with pytest.raises(
        DataError, match=r"no local copy of cifar10 \(nothing is downloaded\): put cifar-10-python"
    ) as error:
        data.load("cifar10")
    for place in ("data/cifar10*", ".cache/bigan/cifar10*", "$BIGAN_DATA"):
        assert place in str(error.value)

    write_folder(tmp_path / "home/.cache/bigan/cifar10", {"data_batch_1.bin": cifar10_binary(x)})
    got = data.load("cifar10")
    check(got, x, LABELS)
    assert got.name == "cifar10"
    y = pixels(seed=1)
    (tmp_path / "data").mkdir()
    write_zip(tmp_path / "data/cifar10-test.zip", in_classes(pixels(seed=3)))
    write_folder(tmp_path / "data/cifar100", {"train.bin": cifar100_binary(pixels(seed=4))})
    write_zip(tmp_path / "data/cifar10-train.zip", in_classes(y))
    check(data.load("cifar10"), *in_order(y), CLASSES)
    check(data.load("cifar100"), pixels(seed=4), LABELS)
    z = pixels(seed=2)
    write_folder(tmp_path / "own/cifar10/cifar-10-batches-py", {"data_batch_1": cifar_pickle(z)})
    monkeypatch.setenv("BIGAN_DATA", str(tmp_path / "own"))
    check(data.load("cifar10"), z, LABELS)


def test_named_layouts_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("BIGAN_DATA", str(tmp_path))
    x = pixels(6, 28, 1)
    write_folder(
        tmp_path / "mnist/MNIST/raw",
        {"train-images-idx3-ubyte": idx(x[:, 0]), "train-labels-idx1-ubyte": idx(np.array(LABELS, np.uint8))},
    )
    check(data.load("mnist"), x, LABELS)
    y = pixels(2, 8)
    write_folder(
        tmp_path / "celeba",
        {
            "img_align_celeba/000001.png": png(y[0]),
            "img_align_celeba/000002.png": png(y[1]),
            "list_attr_celeba.txt": b"2\nMale Young \n000001.jpg -1  1\n000002.jpg  1  1\n",
        },
    )
    check(data.load("celeba"), y)
    assert data.load("celeba").attributes.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    "source, message",
    [
        ("cfiar10", "unknown data set 'cfiar10'; did you mean 'cifar10'"),
        ("digit", "did you mean 'digits'"),
        ("phtoos", "Choices: .*the local 'photos'"),
        ("./phtoos", "no data at './phtoos'; did you mean 'photos'"),
        ("photos/sumer/a.zip", "did you mean 'photos/summer'"),
        ("photos/summer/b.zip", "did you mean 'photos/summer/a.zip'"),
        ("nowhere/at/all", "no data at 'nowhere/at/all'; '.' has no 'nowhere'"),
        ("", "unknown data set ''"),
        ("photos/summer/notes.txt", "not a kind of data bigan reads"),
        ("photos/one.png", "for one image pass its folder"),
    ],
)
def test_wrong_names_and_paths(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(
        write_folder(
            tmp_path,
            {
                "photos/summer/a.zip": b"",
                "photos/summer/notes.txt": b"hello",
                "photos/one.png": png(pixels()[0]),
            },
        )
    )
    with pytest.raises(DataError, match=message):
        data.load(source)


@pytest.mark.parametrize(
    "files, message", [({}, "empty"), ({"a.txt": b"", "b/c.txt": b"", "x": b""}, "2 .txt, 1 files")]
)
def test_no_images(tmp_path, files, message):
    (tmp_path / "set").mkdir()
    for path in (write_folder(tmp_path / "set", files), write_zip(tmp_path / "s.zip", files)):
        with pytest.raises(DataError, match=f"no images in it.*{message}"):
            data.load(path)


def test_folder_of_archives_says_which(tmp_path):
    write_zip(tmp_path / "a.zip", {})
    with pytest.raises(DataError, match=r"it has 1 .zip; did you mean '.*a.zip'\?"):
        data.load(tmp_path)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": -4}, {"channels": 2}, {"limit": 0}])
def test_wrong_options(options):
    with pytest.raises(DataError, match=next(iter(options))):
        data.load("digits", **options)


def test_limit_takes_from_every_class(tmp_path):
    x = pixels(6)
    write_zip(tmp_path / "s.zip", in_classes(x))
    got = data.load(tmp_path / "s.zip", limit=3)
    want, labels = in_order(x)
    check(got, want[::2], labels[::2], CLASSES)
    (tmp_path / "data_batch_1.bin").write_bytes(cifar10_binary(x))
    (tmp_path / "data_batch_2.bin").write_bytes(cifar10_binary(x))
    assert data.load(tmp_path, limit=4).images.equal(torch.from_numpy(np.concatenate([x, x])[[0, 3, 6, 9]]))


def test_progress_is_told(tmp_path):
    seen = []
    (tmp_path / "s.npz").write_bytes(npz(images=pixels(150, 4)))
    data.load(tmp_path / "s.npz", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 150), (128, 150), (150, 150)]


def test_real_photographs():
    root = Path(os.environ.get("BIGAN_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    path = root / "cifar10-train.zip"
    if not path.exists():
        pytest.skip("no cifar10-train.zip in $BIGAN_TEST_DATA or ../shared/data")
    got = data.load(path, limit=500)
    assert got.images.shape == (500, 3, 32, 32) and got.classes[:2] == ["airplane", "automobile"]
    assert torch.bincount(got.labels).tolist() == [50] * 10
    assert 100 < got.images.float().mean() < 140
