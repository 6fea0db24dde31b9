"""The same features to well-kept libraries give the same numbers; each is compared where it is installed."""

import warnings

import pytest
import torch

from bigan.metrics import frechet_distance, inception_score, kernel_distance, neighbours


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def library(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their own, at import
        return pytest.importorskip(name)


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    mix = torch.randn(32, 32)
    return (torch.randn(400, 32) @ mix).relu(), (torch.randn(400, 32) @ mix + 0.3).relu()


def test_torch_fidelity(features):
    a, b = features
    fid = library("torch_fidelity.metric_fid")
    of = [fid.fid_features_to_statistics(x.double()) for x in (a, b)]
    want = fid.fid_statistics_to_metric(*of, False)["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-4)

    kid = library("torch_fidelity.metric_kid")
    whole = {"kid_subsets": 1, "kid_subset_size": len(a), "verbose": False}
    want = kid.kid_features_to_metric(a.double(), b.double(), **whole)["kernel_inception_distance_mean"]
    assert kernel_distance(a, b).value == pytest.approx(want, rel=1e-4)

    isc = library("torch_fidelity.metric_isc").isc_features_to_metric(a, 10, shuffle=False)
    found = inception_score(a, 10)
    assert found.value == pytest.approx(isc["inception_score_mean"], rel=1e-4)
    assert found.spread == pytest.approx(isc["inception_score_std"], rel=1e-4)

    prc = library("torch_fidelity.metric_prc").calculate_precision_recall_full
    assert neighbours(a, b)[:2] == pytest.approx(prc(b.double(), a.double(), 3), abs=1e-6)


class Given(torch.nn.Module):
    """Pixels are the features."""

    num_features = 32

    def forward(self, x):
        return x.flatten(1)[:, :32].double()


def test_torchmetrics(features):
    image = library("torchmetrics.image")
    library("torch_fidelity")  # which its metrics ask for
    a, b = (torch.nn.functional.pad(x, (0, 16)).view(-1, 3, 4, 4) for x in features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fid = image.fid.FrechetInceptionDistance(Given(), normalize=True, input_img_size=(3, 4, 4))
        fid.set_dtype(torch.float64)
        kid = image.kid.KernelInceptionDistance(Given(), subsets=1, subset_size=400, normalize=True)
        score = image.inception.InceptionScore(Given(), splits=1, normalize=True)
    for metric in (fid, kid):
        metric.normalize = False  # features, not pixels: they must not be rounded
        metric.update(a, real=True)
        metric.update(b, real=False)
    score.normalize = False
    score.update(a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one split has no standard deviation
        want = score.compute()[0].item()
    assert frechet_distance(*features) == pytest.approx(fid.compute().item(), rel=1e-4)
    assert kernel_distance(*features).value == pytest.approx(kid.compute()[0].item(), rel=1e-4)
    assert inception_score(features[0], 1).value == pytest.approx(want, rel=1e-4)
