"""IntroVAE (Huang et al. 2018, arXiv:1807.06358), from Algorithm 1 and the authors' code."""

import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    def __init__(self, a, b, expand):
        super().__init__()
        self.shortcut = nn.Conv2d(a, b, 1, bias=False) if expand else nn.Identity()
        self.conv1, self.norm1 = nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.norm2 = nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x):
        y = self.act(self.norm1(self.conv1(x)))
        return self.act(self.norm2(self.conv2(y) + self.shortcut(x)))


def expands(a, b):  # as published
    return a != b or a > 256


def encoder(widths, z_dim, channels):
    layers = [nn.Conv2d(channels, widths[0], 5, 1, 2, bias=False), nn.BatchNorm2d(widths[0])]
    layers += [nn.LeakyReLU(0.2, inplace=True), nn.AvgPool2d(2)]
    for a, b in itertools.pairwise(widths):
        layers += [Residual(a, b, expands(a, b)), nn.AvgPool2d(2)]
    last = widths[-1]
    return nn.Sequential(*layers, Residual(last, last, False), nn.Flatten(), nn.Linear(16 * last, 2 * z_dim))


def decoder(widths, z_dim, channels):
    last = widths[-1]
    layers = [nn.Linear(z_dim, 16 * last), nn.ReLU(inplace=True), nn.Unflatten(1, (last, 4, 4))]
    layers += [Residual(last, last, False), nn.Upsample(scale_factor=2)]
    for a, b in zip(widths[::-1], widths[-2::-1], strict=False):
        layers += [Residual(a, b, expands(a, b)), nn.Upsample(scale_factor=2)]
    first = widths[0]
    return nn.Sequential(*layers, Residual(first, first, False), nn.Conv2d(first, channels, 5, 1, 2))


def divergence(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()


class Trainer:
    def __init__(self, config, channels=3, size=32):
        c = self.config = config
        self.enc = encoder(c.channels, c.z_dim, channels)
        self.dec = decoder(c.channels, c.z_dim, channels)
        self.nets = (self.enc, self.dec)
        self.opt_e = torch.optim.Adam(self.enc.parameters(), lr=c.lr)
        self.opt_g = torch.optim.Adam(self.dec.parameters(), lr=c.lr)

    def kl(self, x):
        return divergence(*self.enc(x).chunk(2, dim=1))

    def step(self, x):
        c = self.config
        alpha = 0.5 * c.w_neg  # the paper's
        x_p = self.dec(torch.randn(len(x), c.z_dim, dtype=x.dtype))
        mu, logvar = self.enc(x).chunk(2, dim=1)
        x_r = self.dec(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
        rec = F.mse_loss(x_r, x, reduction="sum") / len(x)
        hinge = F.relu(c.m - self.kl(x_r.detach())) + F.relu(c.m - self.kl(x_p.detach()))
        loss_e = c.w_rec * rec + c.w_kl * (divergence(mu, logvar) + alpha * hinge)
        self.opt_e.zero_grad()
        self.opt_g.zero_grad()
        loss_e.backward(retain_graph=True)  # leaves the reconstruction's gradient in the decoder
        self.opt_e.step()

        loss_g = c.w_kl * alpha * (self.kl(x_r) + self.kl(x_p))  # by the encoder just updated
        loss_g.backward(inputs=list(self.dec.parameters()))  # not into the encoder that made z, already moved
        self.opt_g.step()
        return {"loss_enc": loss_e, "loss_dec": loss_g + c.w_rec * rec}
