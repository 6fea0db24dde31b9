"""Every command from end to end, on a training of a second or two."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bigan
from bigan.cli import main
from bigan.cli.pictures import walk

TINY = ["--channels", "4", "8", "--z-dim", "4", "--batch", "16", "--sample-every", "1", "--no-tensorboard"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run, made by the command; what it printed lies beside it."""
    out = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "introvae", "--out", str(out), "--kimg", "0.16", *TINY]) == 0
    return out


def opened(path: Path) -> tuple[str, tuple[int, int]]:
    """(mode, (width, height)) of a picture."""
    with Image.open(path) as image:
        image.load()
        return image.mode, image.size


def npz(path: Path) -> np.ndarray:
    with np.load(path) as arrays:
        return arrays["images"]


def test_train_says_where_the_pictures_are_and_what_comes_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "introvae", "--kimg", "0.032", *TINY]) == 0
    run = "runs/introvae-digits-digits"
    out = capsys.readouterr().out
    assert f"pictures: {run}/samples" in out and f"bigan reconstruct {run}" in out
    assert list((tmp_path / run / "samples").glob("*.png"))
    record = json.loads((tmp_path / run / "config.json").read_text())
    assert (record["system"], record["preset"], record["config"]["z_dim"]) == ("introvae", "digits", 4)
    for line in out.splitlines():  # the printed commands are to be pasted
        if "bigan " in line:
            command = line[line.index("bigan ") :].partition("#")[0].split()
            assert main(command[1:]) == 0


def test_the_same_command_resumes_and_another_is_refused(tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["train", "introvae", "--out", out, "--kimg", "0.032", *TINY]) == 0
    assert main(["train", "introvae", "--out", out, "--kimg", "0.064", *TINY]) == 0
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])["step"] == 4
    capsys.readouterr()
    before = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "run").rglob("*"))
    assert main(["train", "introvae", "--out", out, "--kimg", "0.064", *TINY, "--z-dim", "5"]) == 2
    assert "--z-dim" in capsys.readouterr().err
    assert main(["train", "introvae", "--out", out, "--kimg", "0.064", *TINY, "--preset", "cpu"]) == 2
    assert sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "run").rglob("*")) == before


def test_sample(trained, capsys):
    assert main(["sample", str(trained), "--n", "6", "--npz"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"picture: {trained}/sample.png"
    assert opened(trained / "sample.png") == ("L", (3 * 66 + 2, 2 * 66 + 2))
    pixels = npz(trained / "sample.npz")
    assert (pixels.dtype, pixels.shape) == (np.uint8, (6, 16, 16, 1))
    first = (trained / "sample.png").read_bytes()
    assert main(["sample", str(trained), "--n", "6"]) == 0
    assert (trained / "sample.png").read_bytes() == first
    assert (
        main(["sample", str(trained), "--n", "6", "--seed", "1", "--out", str(trained / "new/seed1.png")])
        == 0
    )
    assert (trained / "new/seed1.png").read_bytes() != first


def test_what_cannot_be_written_or_drawn(trained, capsys):
    assert main(["sample", str(trained), "--out", str(trained / "config.json/x.png")]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["sample", str(trained), "--seed", str(10**30)]) == 2
    assert "--seed must fit 64 bits" in capsys.readouterr().err


def test_samples_can_be_read_back_as_data(trained, tmp_path):
    from bigan import data

    assert main(["sample", str(trained), "--n", "5", "--npz", "--out", str(tmp_path / "s.png")]) == 0
    images = data.load(str(tmp_path / "s.npz"))
    assert np.array_equal(images.images.permute(0, 2, 3, 1).numpy(), npz(tmp_path / "s.npz"))


def test_the_number_of_images_does_not_change_the_first(trained, tmp_path):
    for n in ("3", "70"):
        assert main(["sample", str(trained), "--n", n, "--npz", "--out", str(tmp_path / f"{n}.png")]) == 0
    few, many = (npz(tmp_path / f"{n}.npz") for n in (3, 70))
    assert np.abs(few.astype(int) - many[:3]).max() <= 1


def test_reconstruct_reports_the_error_of_what_was_held_out(trained, capsys):
    assert main(["reconstruct", str(trained), "--n", "1000"]) == 0
    captured = capsys.readouterr()
    assert "mse:" in captured.out and "180 held-out images of digits" in captured.out
    assert "only 180" in captured.err
    mse = float(captured.out.split("mse:")[1].split()[0])
    logged = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert mse == pytest.approx(
        logged[-1]["val_mse"], rel=1e-2, abs=1e-5
    )  # the same images, the same weights
    assert opened(trained / "reconstruct.png")[1][0] > 100


def test_reconstruct_other_data_in_the_runs_shape(trained, tmp_path, capsys):
    for i in range(3):
        Image.new("RGB", (40, 30), (80 * i, 10, 10)).save(tmp_path / f"{i}.png")
    out = tmp_path / "out.png"
    assert main(["reconstruct", str(trained), "--data", str(tmp_path), "--n", "2", "--out", str(out)]) == 0
    assert f"2 images of {tmp_path}" in capsys.readouterr().out
    assert out.exists()


def test_reconstruct_says_when_the_data_has_moved(trained, capsys):
    path = trained / "config.json"
    kept = path.read_text()
    try:
        record = json.loads(kept)
        record["data"]["fingerprint"] = "0" * 16
        path.write_text(json.dumps(record))
        assert main(["reconstruct", str(trained)]) == 0
        assert "has changed since the training" in capsys.readouterr().err
        record["run"]["data"] = "gone.zip"
        path.write_text(json.dumps(record))
        assert main(["reconstruct", str(trained)]) == 2
        assert "--data" in capsys.readouterr().err
    finally:
        path.write_text(kept)


@pytest.mark.parametrize("path", ["sphere", "line"])
def test_interpolate(trained, path, capsys):
    assert main(["interpolate", str(trained), "--n", "3", "--steps", "5", "--path", path]) == 0
    _, (width, height) = opened(trained / "interpolate.png")
    assert width / height == pytest.approx(7 / 3, rel=0.02)  # five codes and two originals in a row


def test_walk_ends_at_the_codes_and_keeps_their_length():
    torch.manual_seed(0)
    a, b = torch.randn(5, 64, dtype=torch.float64), 3 * torch.randn(5, 64, dtype=torch.float64)
    for path in ("sphere", "line"):
        z = walk(a, b, 7, path)
        torch.testing.assert_close(z[:, 0], a)
        torch.testing.assert_close(z[:, -1], b)
    length = walk(a, b, 7).norm(dim=-1)
    want = torch.lerp(
        a.norm(dim=-1)[:, None], b.norm(dim=-1)[:, None], torch.linspace(0, 1, 7, dtype=torch.float64)
    )
    torch.testing.assert_close(length, want)


def test_walk_where_the_great_circle_is_not_defined():
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [2.0, 1.0]])
    b = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [2.0, 1.0]])
    torch.testing.assert_close(walk(a, b, 5), walk(a, b, 5, "line"))


def test_ctrl_c_saves_and_exits_with_130(tmp_path):
    root = Path(bigan.__file__).parent.parent
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])),
    }
    command = [
        sys.executable,
        "-m",
        "bigan",
        "train",
        "introvae",
        "--out",
        "run",
        "--kimg",
        "1000",
        "--log-every",
        "0.016",
    ]
    process = subprocess.Popen(
        [*command, *TINY],
        cwd=tmp_path,
        env={**env, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    log, end = tmp_path / "run/log.jsonl", time.monotonic() + 100
    while not (log.exists() and log.stat().st_size) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "the same command goes on" in err
    assert list((tmp_path / "run/checkpoints").glob("*.safetensors"))


def test_a_system_without_an_encoder_gives_samples_alone(tmp_path, capsys):
    run = tmp_path / "gan"
    sizes = ["--size", "8", "--channels", "4", "--z-dim", "4", "--kernel", "4", "--batch", "16"]
    assert main(["train", "gan", "--out", str(run), "--kimg", "0.032", "--no-tensorboard", *sizes]) == 0
    out = capsys.readouterr().out
    assert f"next:     bigan sample {run}" in out and "reconstruct" not in out and "interpolate" not in out
    assert {path.name.split("-")[1] for path in (run / "samples").iterdir()} == {"samples.png"}
    assert all("val_mse" not in line for line in (run / "log.jsonl").read_text().splitlines())
    assert main(["sample", str(run), "--n", "4"]) == 0
    for command in ("reconstruct", "interpolate"):
        assert main([command, str(run)]) == 2
        error = capsys.readouterr().err
        assert f"{command}: a gan has no encoder" in error and f"`bigan sample {run}` works" in error
