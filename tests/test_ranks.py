"""Several processes train as one does with the whole batch, and a killed one loses nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rank_norms
import rank_steps
import safetensors.torch
import torch
from engine_run import write_data

from bigan import ranks, systems
from bigan.engine import checkpoint
from bigan.engine.config import Run
from bigan.engine.noise import Noise
from bigan.errors import UserError

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this PyTorch has no gloo",
)


def torchrun(*words, restarts: int = 0, **env: str) -> str:
    """What two ranks print that end well."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--monitor-interval=0.1"]
    settings = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *launcher, f"--max-restarts={restarts}", *map(str, words)],
        env={**os.environ, **settings, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    file = tmp_path_factory.mktemp("ranks") / "two.safetensors"
    torchrun(HERE / "rank_steps.py", file)
    return safetensors.torch.load_file(file)


@pytest.fixture(scope="module")
def by_one():
    before = rank_steps.Player.optimizer
    try:
        return dict(rank_steps.run(rank_steps.SYSTEMS))
    finally:
        rank_steps.Player.optimizer = before


@pytest.mark.parametrize("name", rank_steps.SYSTEMS)
def test_two_ranks_are_one_with_the_whole_batch(by_one, by_two, name):
    """Parameters, running statistics and terms after two steps; and both ranks hold the same."""
    assert by_two[f"{name}.spread"] == 0
    torch.testing.assert_close(by_two[name], by_one[name], rtol=1e-8, atol=1e-10)


def test_every_system_is_held_to_that():
    assert set(rank_steps.SYSTEMS) == set(systems.names()) - {"tiny"}


def test_batch_normalisation_is_of_the_whole_batch(tmp_path):
    """Outputs, gradients, second gradients and running statistics; in the layout and the type of the input."""
    torchrun(HERE / "rank_norms.py", tmp_path / "two.safetensors")
    by_two, by_one = safetensors.torch.load_file(tmp_path / "two.safetensors"), dict(rank_norms.run())
    assert by_two.keys() == by_one.keys()
    for name, found in by_two.items():
        tolerance = 3e-2 if name.startswith("bfloat16") else 1e-9  # bfloat16: two roundings of 2^-8
        spread = (found - by_one[name]).abs().max() / by_one[name].abs().max().clamp(min=1.0)
        assert spread < tolerance, name


def test_a_killed_rank_resumes_and_ends_in_the_same_bits(tmp_path):
    """Under torchrun's elastic restarts; the state of a run of two ranks that nobody killed is the measure."""
    data = write_data(tmp_path / "images.npz")
    ends = []
    for name, restarts in (("alone", 0), ("killed", 2)):
        settings = {"out": str(tmp_path / name), "data": str(data), "kimg": 1.0, "checkpoint_every": 0.1}
        kill = {"TINY_SIGNAL": f"0.2:{int(signal.SIGKILL)}"} if restarts else {}
        output = torchrun(HERE / "engine_run.py", json.dumps(settings), restarts=restarts, **kill)
        assert ("resuming" in output) == bool(restarts), output
        ends.append(checkpoint.latest(tmp_path / name / "checkpoints"))
    alone, killed = ends
    assert alone.step == killed.step == 100
    assert all(torch.equal(t, killed.tensors[key]) for key, t in alone.tensors.items())


def test_alone_nothing_changes():
    x = torch.rand(3, 2, requires_grad=True)
    assert ranks.gathered(x) is x and ranks.mean(x) is x and ranks.own(x) is x
    assert ranks.agreed(0, 15) == [0, 15] and ranks.from_first(b"ab") == b"ab" and ranks.share(7) == 7
    assert ranks.index() == 0 and ranks.count() == 1


def test_draws_are_dealt_out():
    whole = Noise(3, "cpu").at(5)
    parts = [Noise(3, "cpu", rank, 2).at(5) for rank in range(2)]
    for _ in range(2):  # the second draw too
        dealt = torch.stack([part.normal(4, 3) for part in parts], 1).flatten(0, 1)
        assert torch.equal(dealt, whole.normal(8, 3))


def test_batches_are_dealt_out():
    from bigan import data

    images = data.Images(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1))
    whole = data.Batches(images, 4, seed=1)
    parts = [data.Batches(images, 4, 1, rank=rank, ranks=2) for rank in range(2)]
    for k in range(5):
        assert torch.equal(torch.stack([part(k) for part in parts], 1).flatten(0, 1), whole(k))
    with pytest.raises(data.DataError, match="1 images cannot be shared by 2"):
        data.Batches(images[torch.tensor([0])], 4, 1, ranks=2)
    assert data.Batches(images[torch.arange(7)], 9, 1, ranks=2).batch == 6


def test_what_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "_count", 2)
    with pytest.raises(UserError, match="--batch must be a multiple of the 2 processes that share it, got 7"):
        ranks.share(7)


def test_torchruns_variables_are_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    message = "RANK, MASTER_ADDR, MASTER_PORT not set: start with torchrun"
    with pytest.raises(UserError, match=message), ranks.joined(torch.device("cpu")):
        pass


def test_each_rank_has_its_gpu(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Run(device="auto").torch_device == torch.device("cuda:1")
