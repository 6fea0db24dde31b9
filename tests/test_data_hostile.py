"""Files made to harm, and noise: a DataError every time, nothing run, nothing else raised."""

import builtins
import os
import pickle
import zipfile

import numpy as np
import pytest
from data_makers import (
    cifar10_binary,
    cifar_pickle,
    idx,
    in_classes,
    mat,
    npz,
    pixels,
    python2_pickle,
    stylegan_json,
    write_tar,
    write_zip,
)

from bigan import data
from bigan.data import DataError
from bigan.data.unpickle import PickleError, loads


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class State:
    """Pickles as an object whose state is set."""

    def __init__(self, **state):
        self.__dict__.update(state)


X = pixels().reshape(6, -1)
MARK = "bigan-was-here"
HOSTILE = {
    "os.system": Call(os.system, f"touch {MARK}"),
    "builtins.eval": Call(eval, f"open({MARK!r}, 'w')"),
    "builtins.exec": Call(exec, f"open({MARK!r}, 'w')"),
    "open": Call(open, MARK, "w"),
    "nested": {"data": X, "labels": [0, 1, {"deep": [(Call(os.system, f"touch {MARK}"),)]}]},
    "as label": {"data": X, "labels": Call(os.system, f"touch {MARK}")},
    "numpy.load": Call(np.load, MARK),
    "numpy object array": {"data": np.array([Call(os.system, f"touch {MARK}")], dtype=object), "labels": [0]},
    "object with state": State(a=1),
    "class": {"data": os.PathLike, "labels": [0]},
    "print": Call(builtins.print, MARK),
}
RAW = {
    "inst": f"(S'touch {MARK}'\nios\nsystem\n.".encode(),
    "getattr": b"cbuiltins\ngetattr\n(cos\npath\nS'system'\ntR.",
    "obj": b"(cos\nsystem\nS'touch " + MARK.encode() + b"'\no.",
    "newobj": b"\x80\x02cos\nsystem\nS'touch " + MARK.encode() + b"'\n\x85\x81.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"Pid\n.",
    "reduce of a list": b"\x80\x02](K\x01e)R.",
    "reduce of text": b"\x80\x02U\x02hi)R.",
    "build on a stand-in class": b"\x80\x02cnumpy\ndtype\n}U\x04specU\x01xsb.",
    "build on a function": b"\x80\x02c_codecs\nencode\n}U\x01aU\x01bsb.",
    "append to bytes": b"\x80\x02C\x01aK\x01a.",
    "other codec": b"\x80\x02c_codecs\nencode\nU\x01xU\x03bz2\x86R.",
    "object dtype": b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.",
    "huge bytes": b"\x80\x05\x8e" + (1 << 60).to_bytes(8, "little") + b"abc.",
    "huge bytearray": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"abc.",
    "huge memo": b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "deep tuples as key": b"\x80\x02})" + b"\x85" * 50_000 + b"K\x01s.",
    "tuples doubled 60 times as key": b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
    "deep lists": b"\x80\x02" + b"(" * 50_000 + b"l" * 50_000 + b".",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__init__\x93.",
    "empty": b"",
    "no stop": b"\x80\x02}",
    "empty stack": b".",
    "mark never set": b"\x80\x02u.",
}


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not os.path.exists(MARK)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickle_does_not_run(tmp_path, name, protocol):
    blob = pickle.dumps(HOSTILE[name], protocol)
    with pytest.raises(PickleError):
        loads(blob)
    (tmp_path / "data_batch_1").write_bytes(blob)
    tar = write_tar(tmp_path / "c.tar.gz", {"cifar-10-batches-py/data_batch_1": blob})
    for path in (tmp_path / "data_batch_1", tar):
        with pytest.raises(DataError, match=r"data_batch_1|not a kind of data"):
            data.load(path)


def test_message_tells_what_it_wanted(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(HOSTILE["os.system"], 2))
    with pytest.raises(DataError, match=r"data_batch_1: it wants to call (posix|nt).system"):
        data.load(tmp_path / "data_batch_1")


@pytest.mark.parametrize("name", RAW)
def test_hostile_opcodes(name):
    with pytest.raises(PickleError) as error:
        loads(RAW[name])
    assert len(str(error.value)) < 400


def test_the_test_would_notice():
    """Python's own pickle runs the very bytes that ours refuses."""
    pickle.loads(pickle.dumps(HOSTILE["os.system"], 2))
    assert os.path.exists(MARK)
    os.remove(MARK)
    pickle.loads(RAW["inst"])
    assert os.path.exists(MARK)
    os.remove(MARK)


def test_hostile_classes_file(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(cifar_pickle(pixels()))
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(HOSTILE["os.system"], 2))
    with pytest.raises(DataError, match=r"batches.meta: it wants to call"):
        data.load(tmp_path)


def test_pickle_in_npz_does_not_run(tmp_path):
    np.savez(tmp_path / "s.npz", images=np.array([HOSTILE["os.system"]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError):
        data.load(tmp_path / "s.npz")
    for name in ("s.npz", "s.npy"):
        (tmp_path / name).write_bytes(pickle.dumps(HOSTILE["os.system"], 2))
        with pytest.raises(DataError):
            data.load(tmp_path / name)


def test_npz_that_says_it_is_huge(tmp_path):
    header = (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 3, 1000, 1000), }".ljust(117) + b"\n"
    )
    blob = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    write_zip(tmp_path / "s.npz", {"images.npy": blob})
    (tmp_path / "s.npy").write_bytes(blob)
    for name in ("s.npz", "s.npy"):
        with pytest.raises(DataError):
            data.load(tmp_path / name)


# Noise.  Each name leads to another reader.

NAMES = ["s.zip", "s.npz", "s.npy", "s.mat", "s.bin", "s.tar", "s.tar.gz", "s.pkl", "s.png", "s", "train"]
NAMES += [
    "data_batch_1",
    "data_batch_1.bin",
    "test.bin",
    "train-images-idx3-ubyte",
    "train-images-idx3-ubyte.gz",
]


def expect_data_error(path, **options):
    try:
        data.load(path, **options)
    except DataError as error:
        assert str(error)


@pytest.mark.parametrize("name", NAMES)
def test_random_bytes(tmp_path, name):
    rng = np.random.default_rng(len(name))
    magics = [
        b"",
        b"PK\x03\x04",
        b"\x80\x02",
        b"\x80\x05}",
        b"\0\0\x08\x03",
        b"\x1f\x8b\x08\0",
        b"\x93NUMPY\x01\0",
    ]
    for magic in magics:
        for size in (0, 1, 7, 100, 3073, 5000):
            (tmp_path / name).write_bytes(magic + rng.bytes(size))
            with pytest.raises(DataError):
                data.load(tmp_path / name)


def valid() -> dict[str, bytes]:
    x = pixels(6)
    files = in_classes(x) | {"dataset.json": stylegan_json([[name, 1] for name in in_classes(x)])}
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blob in files.items():
            archive.writestr(name, blob)
    return {
        "s.zip": buffer.getvalue(),
        "s.mat": mat(X=x.transpose(2, 3, 1, 0), y=np.ones((6, 1), np.uint8)),
        "s.npz": npz(images=x, labels=np.arange(6)),
        "data_batch_1": cifar_pickle(x, protocol=4),
        "data_batch_2": python2_pickle(x),
        "data_batch_1.bin": cifar10_binary(x),
        "train-images-idx3-ubyte.gz": idx(x[:, 0], True),
        "train-images-idx3-ubyte": idx(x[:, 0]),
    }


@pytest.mark.parametrize("name", valid())
def test_flipped_and_cut_files(tmp_path, name):
    """Good files with a few bytes changed, or cut short: read, or refused with a DataError."""
    rng = np.random.default_rng(7)
    good = valid()[name]
    structure = min(len(good), 400)  # heads and tails are where the structure is
    for trial in range(60):
        blob = bytearray(good)
        for _ in range(1 + trial % 4):
            place = int(rng.integers(structure)) if trial % 3 else -1 - int(rng.integers(structure))
            blob[place] = int(rng.integers(256))
        if trial % 5 == 0:
            blob = blob[: int(rng.integers(len(blob)))]
        (tmp_path / name).write_bytes(blob)
        expect_data_error(tmp_path / name, skip_bad=bool(trial % 2))
        expect_data_error(tmp_path, size=8)


def test_random_images(tmp_path):
    from data_makers import encode, picture

    rng = np.random.default_rng(3)
    files = {}
    for kind, end in (
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("TIFF", "tif"),
        ("BMP", "bmp"),
    ):
        good = encode(picture(pixels(1, 16)[0]), kind)
        for trial in range(40):
            blob = bytearray(good)
            for _ in range(3):
                blob[int(rng.integers(min(len(blob), 200)))] = int(rng.integers(256))
            files[f"{trial}.{end}"] = bytes(blob)
    for name, blob in files.items():
        (tmp_path / name).write_bytes(blob)
        expect_data_error(tmp_path, size=16)
        expect_data_error(tmp_path, skip_bad=True)
        (tmp_path / name).unlink()
