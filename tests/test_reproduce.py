"""`bigan reproduce`: the papers' rows are there, are resumed, and come out beside the published numbers."""

import json
import signal
from pathlib import Path

import pytest
import torch
from metrics_makers import images, tiny_classifier
from PIL import Image

from bigan import systems
from bigan.cli import main
from bigan.cli import reproduce as command
from bigan.engine import loop
from bigan.metrics import mixture
from bigan.metrics.markdown import markdown
from bigan.metrics.published import MIXTURE, TABLES, Row, Table


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("BIGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_num_threads(before)


def pictures(path: Path, n: int, size: int = 32) -> str:
    for i, x in enumerate(images(n, size)):
        path.mkdir(exist_ok=True)
        Image.fromarray(x.permute(1, 2, 0).numpy()).save(path / f"{i}.png")
    return str(path)


def test_every_row_can_be_made():
    """Its changes are of its config, the networks fit the images, and few systems have no setting of the paper."""
    made = set()
    for table in TABLES.values():
        for row in table.rows:
            for metric, text in row.published.items():
                assert metric in table.metrics and float(text.split()[0]) > 0
            for scale in ("cpu", "paper"):
                c = command.Reproduce(scale=scale)
                if table.data == MIXTURE or not row.system or command.missing(c, table, row):
                    continue
                made.add((row.system, scale))
                _, config, run = command.plan(c, table, row, Path("x"))
                if scale == "cpu":
                    systems.load(row.system).build(config, (3, run.size, run.size))
                    assert run.kimg == table.kimg
    assert {system for system, scale in made if scale == "paper"} >= {
        "age",
        "ali",
        "alice",
        "alpha_gan",
        "ian",
        "pagan",
    }
    assert {system for system, scale in made if scale == "cpu"} >= {"vae", "wae_gan"}
    published = {row.name: row.published for row in TABLES["pagan-ablation"].rows}
    assert published["PAGAN-NOAUG"] == {"FID": "111.151", "IS": "4.23 ± 0.06", "RID": "50.15 ± 2.71"}


def numbered(**values) -> dict:
    return {"metrics": {k: {"metric": k, "value": v, "extractor": "net#1"} for k, v in values.items()}}


def test_markdown_sets_published_beside_measured_and_compares_the_orders():
    rows = (
        Row("a", {"FID": "10", "IS": "5 ± 1"}),
        Row("b", {"FID": "20", "IS": "4"}),
        Row("c", {"FID": "30"}),
    )
    table = Table("Title", {"FID": "lower", "IS": "higher"}, (*rows, Row("d", {}, note="why")))
    found = {
        "a": numbered(FID=2.0, IS=3.0),
        "b": numbered(FID=1.0, IS=2.0),
        "c": numbered(FID=3.0),
        "d": None,
    }
    lines = markdown(table, found, ["made so"]).splitlines()
    assert lines[:3] == ["# Title", "", "made so"]
    assert "| row | FID, published | FID[net#1], measured | IS, published | IS[net#1], measured |" in lines
    assert "| a | 10 | 2 | 5 ± 1 | 3 |" in lines and "| c | 30 | 3 | – | – |" in lines
    assert "| d | – | not run | – | not run |" in lines
    assert "- FID: published a, b, c; measured b, a, c (2 of 3 pairs agree)" in lines
    assert "- IS: published a, b; measured a, b (1 of 1 pairs agree)" in lines
    assert lines[-1] == "- d: why"


def test_an_ablation_from_end_to_end_and_again(tmp_path, capsys, monkeypatch):
    extractor = str(tiny_classifier(tmp_path / "tiny.safetensors", size=16))
    args = [
        "reproduce",
        "pagan-ablation",
        "--data",
        pictures(tmp_path / "images", 120),
        "--out",
        "out",
        "--n",
        "12",
    ]
    args += ["--samples", "12", "--kimg", "0.064", "--extractor", extractor]
    assert main([*args, "--rows", "PAGAN-L1"]) == 0
    text = Path("out/table.md").read_text()
    assert "| PAGAN | 32.84 | not run |" in text and "| PAGAN-L1 | 76.73 | not run" not in text
    first = Path("out/pagan-l1/numbers.json").read_bytes()
    assert main(args) == 0
    text = Path("out/table.md").read_text()
    assert "not run" not in text and "of 3 pairs agree" in text and "FID[classifier-noise-16px#" in text
    assert Path("out/pagan-l1/numbers.json").read_bytes() == first
    config = json.loads(Path("out/pagan-l1/config.json").read_text())["config"]
    assert config["pairs"] == "l1" and config["pad"] == 2
    capsys.readouterr()

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(command, "measure", never)
    assert main(args) == 0  # finished: nothing is trained or measured
    assert capsys.readouterr().out.startswith("# PAGAN, table 3")
    kept = command._kept(Path("out"), TABLES["pagan-ablation"].rows[0], {"scale": "paper"})
    assert kept is None  # numbers of other settings are not this table's


def test_a_training_that_is_stopped_is_not_measured(tmp_path, capsys, monkeypatch):
    extractor = str(tiny_classifier(tmp_path / "tiny.safetensors", size=16))
    args = ["reproduce", "pagan-ablation", "--data", pictures(tmp_path / "images", 120), "--out", "out"]
    args += ["--n", "12", "--samples", "12", "--kimg", "0.128", "--extractor", extractor, "--rows", "PAGAN"]
    step, steps = loop.Training.step, []

    def stopped(self, *given):
        steps.append(1)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "step", stopped)
        assert main(args) == 0
    assert "stopped and saved at 0.064 kimg" in capsys.readouterr().err
    assert not Path("out/pagan/numbers.json").exists()
    assert main(args) == 0
    assert Path("out/pagan/numbers.json").exists()
    assert "| PAGAN | 32.84 | not run |" not in Path("out/table.md").read_text()


def test_a_row_without_a_training(tmp_path):
    extractor = str(tiny_classifier(tmp_path / "tiny.safetensors"))
    args = [
        "reproduce",
        "pagan-rid",
        "--data",
        pictures(tmp_path / "images", 120),
        "--rows",
        "AUG",
        "--n",
        "12",
    ]
    assert main([*args, "--extractor", extractor, "--out", "out"]) == 0
    found = json.loads(Path("out/aug/numbers.json").read_text())["metrics"]
    assert 5 < found["RMSE"]["value"] < 30 and any(name.startswith("RID[") for name in found)


def test_the_mixture_is_resumed_seed_by_seed(monkeypatch):
    trained = []

    def train(seed, kimg, lr, device, fast):
        trained.append(seed)
        return None, None

    def drawn(system, data, seed):
        return mixture.MEANS, mixture.MEANS + 0.1, mixture.MEANS[: 20 + seed]

    monkeypatch.setattr(mixture, "train", train)
    monkeypatch.setattr(mixture, "drawn", drawn)
    args = ["reproduce", "ali-mixture", "--out", "out"]
    assert main([*args, "--kimg", "2000", "--fast"]) == 0
    assert "`bigan reproduce ali-mixture --scale cpu --kimg 2000 --fast`," in Path("out/table.md").read_text()
    trained.clear()
    assert main(args) == 0
    assert trained == [0, 1, 2, 3, 4]
    Path("out/ali/numbers.json").unlink()
    Path("out/ali/seed-1-500-kimg.json").unlink()
    assert main(args) == 0
    assert trained == [0, 1, 2, 3, 4, 1]
    text = Path("out/table.md").read_text()
    assert "| ALI | 13.4 ± 5.8 | 22 ± 1.6 | – | 1 ± 0 |" in text
    assert "| GAN | 10.4 ± 9.2 | not run | – | not run |" in text
    assert len(list(Path("out/ali").glob("seed-*-500-kimg.png"))) == 5


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["pagan-tabel"], "unknown table 'pagan-tabel'; did you mean 'pagan-table'"),
        (["pagan-rid", "--rows", "AGEE", "--extractor", "none"], "unknown row 'AGEE'; did you mean 'AGE'"),
        (["pagan-rid", "--scale", "big"], "--scale"),
        (["pagan-rid", "--kimg", "-1"], "--kimg must be 0 or more, got -1"),
    ],
)
def test_what_is_refused(args, words, capsys):
    assert main(["reproduce", *args]) == 2
    assert words in capsys.readouterr().err


def test_usage(capsys):
    assert main(["reproduce", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in TABLES)
    assert main(["reproduce"]) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in TABLES)
