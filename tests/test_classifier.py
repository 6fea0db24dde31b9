"""`bigan classifier train`: learns, writes an extractor that is its network, and says what it needs."""

import json

import pytest
import torch
from metrics_makers import images
from PIL import Image
from safetensors import safe_open

from bigan import data
from bigan.cli import main
from bigan.metrics import MetricError, extract, extractors, train_classifier

SMALL = ["--widths", "8", "16", "--size", "8", "--batch", "64"]


@pytest.fixture(autouse=True)
def one_thread(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_num_threads(before)


def folders(path, counts: dict[str, int]):
    for name, n in counts.items():
        (path / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (9, 8), (200 * i // max(n, 1), 10, 10)).save(path / name / f"{i}.png")
    return str(path)


def test_digits_are_learnt_and_the_file_is_the_network(capsys):
    assert main(["classifier", "train", "--epochs", "6", "--out", "new/c.safetensors", *SMALL]) == 0
    out = capsys.readouterr().out
    accuracy = float(out.split()[1])
    assert accuracy > 0.9 and "180 held-out images" in out  # chance is 0.1
    net = extractors.load("new/c.safetensors")
    assert net.label.startswith("classifier-digits-8px#") and net.classes == 10 and net.channels == 1
    _, held_out = data.split(data.load("digits", size=8), 0.1, 0)
    found = extract(net, held_out.images)
    assert (found.logits.argmax(1) == held_out.labels).double().mean().item() == pytest.approx(
        accuracy, abs=1e-3
    )
    with safe_open("new/c.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["settings"])
    assert settings["test_accuracy"] == pytest.approx(accuracy, abs=1e-4) and settings["names"] == list(
        "0123456789"
    )


def test_the_same_seed_gives_the_same_weights():
    seen = data.load("digits", size=8, limit=200)
    how = train_classifier.How(1, 64, 0.01, (4, 8), True, 3)
    a, b = (train_classifier.train(seen, how).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    other = train_classifier.train(seen, train_classifier.How(1, 64, 0.01, (4, 8), True, 4)).state_dict()
    assert not torch.equal(a["head.weight"], other["head.weight"])


def test_what_is_augmented_stays_an_image_of_its_kind():
    x = images(64, 16)
    y = train_classifier.augmented(x, True, torch.tensor([0, 0]))
    plain = extractors.classifier.normalise(x.float())
    assert y.shape == x.shape and y.is_contiguous(memory_format=torch.channels_last)
    assert plain.min() <= y.min() and y.max() <= plain.max()
    kept = [(y[i, :, 4:12, 4:12] - plain[i, :, 4:12, 4:12]).abs().max() < 1e-5 for i in range(64)]
    assert sum(kept) < 16  # shifted by up to 2 pixels and mirrored: few stay where they are


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--data", "ONE"], "must have two classes or more, got 1"),
        (["--data", "NONE"], "its images have no labels; put them into a folder for each class"),
        (["--data", "TWO", "--test", "OTHER"], "--test OTHER has other classes than --data TWO"),
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--lr", "-1"], "--lr must be more than 0"),
        (["--widths", "8", "8", "8", "8", "8", "--size", "8"], "8 pixels can be halved for 4 stages, got 5"),
    ],
)
def test_what_is_refused(args, words, tmp_path, capsys):
    folders(tmp_path / "TWO", {"a": 20, "b": 20})
    folders(tmp_path / "OTHER", {"a": 5, "c": 5})
    folders(tmp_path / "ONE", {"only": 20})
    (tmp_path / "NONE").mkdir()
    (tmp_path / "ONE/only/0.png").rename(tmp_path / "NONE/0.png")
    (tmp_path / "ONE/only/1.png").rename(tmp_path / "NONE/1.png")
    (tmp_path / "ONE/only/2.png").rename(tmp_path / "NONE/2.png")
    (tmp_path / "ONE/dataset.json").write_text(
        json.dumps({"labels": [[f"only/{i}.png", 0] for i in range(3, 20)]})
    )
    assert main(["classifier", "train", *SMALL, *args]) == 2
    assert words in capsys.readouterr().err


def test_only_training_is_known(capsys):
    assert main(["classifier", "--help"]) == 0
    assert main(["classifier", "test"]) == 2
    assert "the one thing to do is train, got 'test'" in capsys.readouterr().err


def test_a_training_that_diverges_is_not_written():
    seen = data.load("digits", size=8, limit=100)
    with pytest.raises(MetricError, match="diverged; try a smaller --lr"):
        train_classifier.train(seen, train_classifier.How(3, 50, 1e30, (4, 8), False, 0))
