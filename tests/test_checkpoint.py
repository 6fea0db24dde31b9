"""Checkpoints: what is written comes back, and nothing that goes wrong takes the one before away."""

import errno
import json
import os
import resource

import pytest
import torch

from bigan.engine import checkpoint, files
from bigan.errors import UserError


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "model.w": torch.randn(5, 7, generator=g),
        "model.strided": torch.randn(4, 6, generator=g).t(),
        "model.bf16": torch.randn(3, generator=g).bfloat16(),
        "model.empty": torch.empty(0, 2),
        "opt.enc.0.step": torch.tensor(3.0 + seed),
        "model.count": torch.tensor(9, dtype=torch.int64),
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of steps 10 and 20."""
    for step in (10, 20):
        checkpoint.save(tmp_path, step, tensors(step), {"kimg": step / 10, "f": 0.1})
    return tmp_path


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_round_trip(folder):
    found = checkpoint.latest(folder)
    assert (found.step, found.meta) == (20, {"kimg": 2.0, "f": 0.1})
    assert same(found.tensors, tensors(20))


def test_none_is_none(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "not there") is None


def test_the_last_ones_are_kept(folder):
    checkpoint.save(folder, 30, tensors(), {}, keep=2)
    assert checkpoint.steps(folder) == [20, 30]
    checkpoint.save(folder, 40, tensors(), {}, keep=1)
    assert names(folder) == ["step-00000040.json", "step-00000040.safetensors"]


def test_the_hash_is_that_of_the_file(folder):
    import hashlib

    record = json.loads((folder / "step-00000020.json").read_text())
    assert record["sha256"] == hashlib.sha256((folder / "step-00000020.safetensors").read_bytes()).hexdigest()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    at = len(data) * 2 // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def flip_header(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize("harm", [cut, flip, flip_header, lambda data: b""])
@pytest.mark.parametrize("file", ["step-00000020.safetensors", "step-00000020.json"])
def test_damage_falls_back_and_tells(folder, file, harm):
    (folder / file).write_bytes(harm((folder / file).read_bytes()))
    told = []
    found = checkpoint.latest(folder, told.append)
    assert found.step == 10
    assert same(found.tensors, tensors(10))
    assert len(told) == 1
    assert "step-00000020" in told[0] and "damaged" in told[0]


@pytest.mark.parametrize("bit", range(0, 8 * 300, 61))
def test_no_bit_of_the_json_can_flip_unnoticed(folder, bit):
    path = folder / "step-00000020.json"
    data = bytearray(path.read_bytes())
    before = checkpoint.load(path)
    at = bit // 8 % len(data)
    data[at] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
        after = checkpoint.load(path)
    except checkpoint.Damaged:
        return
    assert after.meta == before.meta and after.step == before.step  # white space


def test_missing_tensors_fall_back(folder):
    (folder / "step-00000020.safetensors").unlink()
    told = []
    assert checkpoint.latest(folder, told.append).step == 10
    assert "lacks its tensors" in told[0]


def test_all_damaged_is_an_error_not_a_fresh_start(folder):
    for step in (10, 20):
        (folder / f"step-{step:08d}.json").write_text("{")
    with pytest.raises(UserError, match="none of the checkpoints"):
        checkpoint.latest(folder, lambda _: None)


def test_saving_removes_later_ones_found_damaged(folder):
    checkpoint.save(folder, 15, tensors(), {})  # training went on from 10, as 20 was damaged
    assert checkpoint.steps(folder) == [10, 15]


def test_a_kill_between_the_two_names_leaves_the_one_before(folder):
    (folder / "step-00000030.safetensors").write_bytes(b"whole, but without its JSON file")
    (folder / "step-00000040.safetensors.tmp").write_bytes(b"half")
    assert checkpoint.latest(folder).step == 20
    checkpoint.clean(folder)
    assert len(names(folder)) == 4


@pytest.mark.parametrize("at", ["write", "fsync", "json"])
def test_full_disk_keeps_the_one_before(folder, monkeypatch, at):
    before = names(folder)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real_fsync, calls = os.fsync, []

    class Full:
        def __init__(self, *args):
            self.file = open(*args)  # noqa: SIM115

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            raise full

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self.file.close()

    def fsync(fd):
        calls.append(fd)
        if len(calls) == (1 if at == "fsync" else 2):
            raise full
        real_fsync(fd)

    if at == "write":
        monkeypatch.setattr(files, "open", Full, raising=False)
    else:
        monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(checkpoint.NotSaved, match=r"step 30 could not be written to .*: the disk is full"):
        checkpoint.save(folder, 30, tensors(), {})
    monkeypatch.undo()
    assert names(folder) == before
    assert checkpoint.latest(folder).step == 20


def test_a_real_write_that_stops_half_way(folder):
    """The kernel cuts the write off: a limit on the size of files stands for the full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
        with pytest.raises(checkpoint.NotSaved, match=r"step 30 could not be written .* File too large"):
            checkpoint.save(folder, 30, {"w": torch.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint.steps(folder) == [10, 20]
    assert len(names(folder)) == 4


def test_a_reader_survives_the_writer_deleting_under_it(folder, monkeypatch):
    """`bigan sample` during training: what it has listed may be gone when it opens it."""
    real, once = checkpoint.load, []

    def load(path):
        if not once:
            once.append(path)
            checkpoint.save(folder, 30, tensors(30), {}, keep=1)
        return real(path)

    monkeypatch.setattr(checkpoint, "load", load)
    assert checkpoint.latest(folder, pytest.fail).step == 30


def test_nothing_is_unpickled(folder, monkeypatch):
    import pickle

    monkeypatch.setattr(pickle, "load", pytest.fail)
    monkeypatch.setattr(pickle, "Unpickler", pytest.fail)
    monkeypatch.setattr(torch, "load", pytest.fail)
    assert checkpoint.latest(folder).step == 20
