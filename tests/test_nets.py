"""The networks against the specification's table, and against themselves written in bare tensors."""

import copy
from itertools import pairwise

import pytest
import torch
from introvae_pseudocode import Net, decoder, encoder

from bigan import nets

C256 = (32, 64, 128, 256, 512, 512)
C1024 = (16, 32, 64, 128, 256, 512, 512, 512)
C128 = (64, 128, 256, 512, 512)
C32 = (64, 128, 256)


def both(channels, z_dim, image_channels=3, published=True, device="meta"):
    with torch.device(device):
        sizes = (channels, z_dim, image_channels, published)
        return nets.ResidualEncoder(*sizes), nets.ResidualDecoder(*sizes)


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    "channels, z_dim, side, millions",
    [
        (C256, 512, 256, (22.97, 16.45)),
        (C1024, 512, 1024, (27.97, 21.43)),
        (C128, 256, 128, (18.7, 14.4)),
        (C32, 128, 32, (3.38, 2.38)),
    ],
)
def test_sizes_and_parameter_counts_of_the_release(channels, z_dim, side, millions):
    enc, dec = both(channels, z_dim)
    digits = 1 if side == 128 else 2
    assert tuple(round(count(net) / 1e6, digits) for net in (enc, dec)) == millions
    assert nets.side(channels) == side
    mu, logvar = enc(torch.empty(2, 3, side, side, device="meta"))
    assert mu.shape == logvar.shape == (2, z_dim)
    assert dec(mu).shape == (2, 3, side, side)


@pytest.mark.parametrize(
    "channels, extra", [(C256, 1), (C1024, 2), (C128, 1), (C32, 0), ((256, 256), 0), ((257, 257), 1)]
)
def test_published_shortcuts_are_the_only_difference(channels, extra):
    for published, plain in zip(both(channels, 8), both(channels, 8, published=False), strict=True):
        assert count(published) - count(plain) == extra * channels[-1] ** 2


def test_order_of_layers_at_256():
    enc, dec = both(C256, 512)

    def blocks(net):
        return [(r.conv1.in_channels, r.conv1.out_channels, isinstance(r.shortcut, torch.nn.Conv2d))
                for r in net if isinstance(r, nets.Residual)]  # fmt: skip

    up = [(32, 64, True), (64, 128, True), (128, 256, True), (256, 512, True), (512, 512, True)]
    assert blocks(enc) == [*up, (512, 512, False)]
    down = [(512, 512, True), (512, 256, True), (256, 128, True), (128, 64, True), (64, 32, True)]
    assert blocks(dec) == [(512, 512, False), *down, (32, 32, False)]


@pytest.mark.parametrize("channels, image_channels", [((3,), 1), ((2, 4), 3), ((2, 3, 3), 2)])
def test_equal_to_bare_tensors(channels, image_channels):
    torch.manual_seed(0)
    enc, dec = (net.double() for net in both(channels, 5, image_channels, device="cpu"))
    for p in (*enc.parameters(), *dec.parameters()):  # gains and shifts that are not one and zero
        torch.nn.init.normal_(p, std=0.5)
    expansions = [a != b for a, b in pairwise(channels)]
    E, G = Net.like(enc), Net.like(dec)
    x = torch.rand(3, image_channels, nets.side(channels), nets.side(channels), dtype=torch.double)
    mu, logvar = enc(x)
    want = encoder(E, x, expansions)
    torch.testing.assert_close((mu, logvar), want)
    torch.testing.assert_close(dec(mu), decoder(G, want[0], expansions))
    for net, bare in ((enc, E), (dec, G)):
        norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for m, (mean, var) in zip(norms, bare.stats["data"], strict=True):
            torch.testing.assert_close((m.running_mean, m.running_var), (mean, var))


def test_the_decoder_is_not_clamped():
    _, dec = both((4,), 3, device="cpu")
    torch.nn.init.constant_(dec[-1].bias, 7.0)
    assert dec(torch.zeros(2, 3)).max() > 5


def test_statistics_of_another_kind():
    """Each kind of input is normalised at inference as its batches were in training."""
    torch.manual_seed(0)
    _, dec = both((4,), 3, device="cpu")
    dec, other = copy.deepcopy((dec, nets.Statistics(dec)))  # as an average of the weights has them
    assert not list(other.parameters())
    a, b = torch.randn(64, 3), 3 + torch.randn(64, 3)
    with torch.no_grad():
        for _ in range(100):
            trained_a = dec(a)
            with other:
                trained_b = dec(b)
        dec.eval()
        with pytest.raises(RuntimeError, match="stop"), other:
            torch.testing.assert_close(dec(b), trained_b, rtol=1e-2, atol=1e-2)
            raise RuntimeError("stop")
        torch.testing.assert_close(dec(a), trained_a, rtol=1e-2, atol=1e-2)
        assert (dec(b) - trained_b).abs().max() > 0.1


def test_untracked_passes_leave_the_running_statistics():
    enc, _ = both((4,), 3, device="cpu")
    before = {k: v.clone() for k, v in enc.state_dict().items()}
    x = torch.rand(4, 3, 8, 8)
    with nets.untracked(enc):
        inside = enc(x)
    torch.testing.assert_close(enc.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(enc(x), inside, rtol=0, atol=0)
    assert not torch.equal(enc[1].running_mean, before["1.running_mean"])
