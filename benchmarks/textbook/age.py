"""AGE (Ulyanov et al. 2018, arXiv:1704.02304), CIFAR-10 setting, from the paper and its code."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def encoder(width, z_dim, channels):
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(4 * width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4 * width, z_dim, 4, 2, 1),
        nn.AvgPool2d(2),
        nn.Flatten(),
    )


def generator(width, z_dim, channels):
    layers = [nn.Unflatten(1, (z_dim, 1, 1)), nn.ConvTranspose2d(z_dim, 8 * width, 4, bias=False)]
    for a, b in ((8, 4), (4, 2), (2, 2)):
        layers += [nn.BatchNorm2d(a * width), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(a * width, b * width, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(2 * width), nn.ReLU(inplace=True), nn.Conv2d(2 * width, channels, 1), nn.Tanh()]
    return nn.Sequential(*layers)


def divergence(e):
    """KL of the codes' moments, with the authors' variance for the deviation, a mean over dimensions."""
    mean, var = e.mean(0), e.var(0, unbiased=False)
    return ((mean**2 + var**2) / 2 - torch.log(var) - 0.5).mean()


class Trainer:
    def __init__(self, config, channels=3, size=32):
        c = config
        self.z_dim, self.mu, self.lam, self.g_steps = c.z_dim, 10.0, 1000.0, 2
        self.enc, self.dec = encoder(c.width, c.z_dim, channels), generator(c.width, c.z_dim, channels)
        self.nets = (self.enc, self.dec)
        self.opt_e = torch.optim.Adam(self.enc.parameters(), lr=c.lr, betas=(0.5, 0.999))
        self.opt_g = torch.optim.Adam(self.dec.parameters(), lr=c.lr, betas=(0.5, 0.999))

    def encode(self, x):
        return F.normalize(self.enc(x), dim=1)

    def draw(self, x):
        return F.normalize(torch.randn(len(x), self.z_dim, dtype=x.dtype), dim=1)

    def step(self, x):
        self.opt_e.zero_grad()
        e = self.encode(x)
        loss_e = divergence(e) + self.mu * (self.dec(e) - x).abs().mean()
        fake = self.dec(self.draw(x)).detach()
        loss_e = loss_e - divergence(self.encode(fake))
        loss_e.backward()
        self.opt_e.step()
        for _ in range(self.g_steps):
            self.opt_g.zero_grad()
            z = self.draw(x)
            e = self.encode(self.dec(z))
            match = 2 - (F.normalize(e, dim=1) * F.normalize(z, dim=1)).mean()
            loss_g = divergence(e) + self.lam * match
            loss_g.backward()
            self.opt_g.step()
        return {"loss_enc": loss_e, "loss_dec": loss_g}
