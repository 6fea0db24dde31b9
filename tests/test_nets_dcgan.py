"""DCGAN's networks against the published sizes, and their parts."""

import pytest
import torch
from torch import nn

from bigan.nets import JointCritic, dcgan, perceptron


def count(net):
    return sum(p.numel() for p in net.parameters())


def kinds(net):
    return [type(m).__name__ for m in net]


def test_dcgan_at_64_pixels():
    """1024 x 4 x 4 to 3 x 64 x 64 and back by convolutions of 5 x 5 alone."""
    widths, image = (128, 256, 512, 1024), (3, 64, 64)
    with torch.device("meta"):
        critic = dcgan.encoder(image, widths, 1, kernel=5)
        generator = dcgan.decoder(100, widths, image, kernel=5)
        x = torch.empty(2, *image)
        assert critic(x).shape == (2, 1) and generator(torch.empty(2, 100)).shape == x.shape
    convolutions = 25 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024)
    normalised = 2 * (256 + 512 + 1024)
    assert count(critic) == convolutions + 128 + normalised + 1024 * 16 + 1
    assert count(generator) == convolutions + 3 + normalised + 2 * 128 + 100 * 1024 * 16
    assert kinds(critic)[:5] == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds(generator)[-2:] == ["ConvTranspose2d", "Tanh"]


@pytest.mark.parametrize(
    "side, channels", [(16, (4, 8)), (28, (4, 8)), (32, (4, 8, 8)), (64, (4, 4, 4, 4)), (6, ())]
)
@pytest.mark.parametrize("kernel, stem", [(4, 0), (5, 3)])
def test_every_side_goes_both_ways(side, channels, kernel, stem):
    image, some = (2, side, side), {"stem": stem} if channels else {}
    x = dcgan.decoder(3, channels, image, (5,), kernel=kernel, **some)(torch.randn(4, 3))
    assert x.shape == (4, *image) and x.abs().max() <= 1
    assert dcgan.encoder(image, channels, 7, (5,), kernel=kernel, **some)(x).shape == (4, 7)


def test_odd_sides_of_an_encoder():
    for kernel, sides in ((4, (14, 7, 3, 1)), (5, (14, 7, 4, 2))):
        for n, side in enumerate(sides, 1):
            body, size = dcgan.features((1, 28, 28), (2,) * n, kernel=kernel)
            assert size == 2 * side * side and body(torch.rand(3, 1, 28, 28)).shape == (3, size)


def test_features_go_back():
    _, size = dcgan.features((3, 16, 16), (4, 8))
    back = dcgan.features_decoder((4, 8), (3, 16, 16))
    assert back(torch.rand(2, size)).shape == (2, 3, 16, 16)


def test_what_is_normalised():
    norms = [
        i
        for i, m in enumerate(dcgan.encoder((1, 16, 16), (4, 8), 2, (5,)))
        if "BatchNorm" in type(m).__name__
    ]
    first = dcgan.encoder((1, 16, 16), (4, 8), 2, (5,), first_norm=True)
    assert len(norms) == 2 and sum(isinstance(m, nn.BatchNorm2d) for m in first) == 2
    assert not any(
        "BatchNorm" in kind for kind in kinds(dcgan.encoder((1, 16, 16), (4,), 2, (5,), norm="none"))
    )
    assert kinds(perceptron(3, (4, 5), 1, norm="batch")) == [
        "Linear", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear",
    ]  # fmt: skip


def test_initial_weights():
    torch.manual_seed(0)
    for m in dcgan.encoder((3, 32, 32), (64, 128), 4, std=0.05):
        if isinstance(m, nn.Conv2d | nn.Linear):
            assert m.weight.std().item() == pytest.approx(0.05, rel=0.1)
            assert m.bias is None or not m.bias.any()
        if isinstance(m, nn.BatchNorm2d):
            assert (m.weight - 1).std().item() == pytest.approx(0.05, rel=0.3) and not m.bias.any()


def test_the_joint_critic_sees_both():
    critic = JointCritic((1, 8, 8), (4,), 3, (5,))
    x, z = torch.rand(4, 1, 8, 8, requires_grad=True), torch.rand(4, 3, requires_grad=True)
    out = critic(x, z)
    assert out.shape == (4, 1)
    out[0].sum().backward()
    assert x.grad.any() and z.grad.any()
