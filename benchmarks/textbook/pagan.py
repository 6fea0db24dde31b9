"""PAGAN (Alanov et al. 2018, arXiv:1810.04920), CIFAR-10 setting, from the paper."""

import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.parametrizations import spectral_norm


def stack(in_channels, height, width, widths, outputs, batch_norm):
    layers = [nn.Conv2d(in_channels, widths[0], 3, 1, 1), nn.LeakyReLU(0.2)]
    for a, b in itertools.pairwise(widths):
        for conv in (nn.Conv2d(a, b, 4, 2, 1), nn.Conv2d(b, b, 3, 1, 1)):
            layers.append(conv)
            if batch_norm:
                norm = nn.BatchNorm2d(b, eps=2e-5)
                norm.weight = None  # a shift alone
                layers.append(norm)
            layers.append(nn.LeakyReLU(0.2))
    scale = 2 ** (len(widths) - 1)
    features = widths[-1] * (height // scale) * (width // scale)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, outputs))


def generator(z_dim, widths, channels, size):
    bottom, top = size // 2 ** (len(widths) - 1), widths[-1]
    units = top * bottom**2
    layers = [nn.Linear(z_dim, units), nn.BatchNorm1d(units, eps=2e-5), nn.ReLU()]
    layers.append(nn.Unflatten(1, (top, bottom, bottom)))
    for a, b in zip(widths[::-1], widths[-2::-1], strict=False):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b, eps=2e-5), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[0], channels, 3, 1, 1), nn.Tanh())


def spectral(net):
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            spectral_norm(module)
    return net


def augment(x, pad):
    """Reflection padding and a random crop, per image."""
    size = x.shape[-1]
    padded = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    crops = torch.randint(0, 2 * pad + 1, (len(x), 2)).tolist()
    return torch.stack([padded[i, :, dy : dy + size, dx : dx + size] for i, (dy, dx) in enumerate(crops)])


class Trainer:
    def __init__(self, config, channels=3, size=32):
        c = config
        self.z_dim, self.pad = c.z_dim, c.pad
        self.enc = stack(channels, size, size, c.channels, 2 * c.z_dim, batch_norm=True)
        self.dec = generator(c.z_dim, c.channels, channels, size)
        self.critic_x = spectral(stack(channels, size, size, c.channels, 1, batch_norm=False))
        layers, width = [], c.z_dim
        for hidden in c.hidden:
            layers += [nn.Linear(width, hidden), nn.LeakyReLU(0.2)]
            width = hidden
        self.critic_z = spectral(nn.Sequential(*layers, nn.Linear(width, 1)))
        self.critic_xx = spectral(stack(channels, size, 2 * size, c.channels, 1, batch_norm=False))
        self.nets = (self.enc, self.dec, self.critic_x, self.critic_z, self.critic_xx)
        critics = [p for net in self.nets[2:] for p in net.parameters()]
        coders = [p for net in self.nets[:2] for p in net.parameters()]
        self.opt_d = torch.optim.Adam(critics, lr=c.lr, betas=(c.beta1, 0.999))
        self.opt_g = torch.optim.Adam(coders, lr=c.lr, betas=(c.beta1, 0.999))

    def step(self, x):
        z = torch.randn(len(x), self.z_dim, dtype=x.dtype)
        mu, logvar = self.enc(x).chunk(2, dim=1)
        z_r = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        x_p, x_r = self.dec(z), self.dec(z_r)

        # critics, on fakes that are held fixed
        real_pair = torch.cat([x, augment(x, self.pad)], dim=3)
        loss_dx = F.softplus(-self.critic_x(x)).mean() + F.softplus(self.critic_x(x_p.detach())).mean()
        loss_dz = F.softplus(-self.critic_z(z)).mean() + F.softplus(self.critic_z(z_r.detach())).mean()
        fake_pair = torch.cat([x, x_r], dim=3)
        loss_dxx = (
            F.softplus(-self.critic_xx(real_pair)).mean()
            + F.softplus(self.critic_xx(fake_pair.detach())).mean()
        )
        # generator and encoder; the code's term does not reach the one, nor the sample's the other
        g_x = F.softplus(-self.critic_x(x_p)).mean()
        g_z = F.softplus(-self.critic_z(z_r)).mean()
        g_xx = F.softplus(-self.critic_xx(fake_pair)).mean()

        # all gradients at the same parameters, then all steps
        self.opt_g.zero_grad()
        (g_x + g_z + g_xx).backward()
        self.opt_d.zero_grad()  # of what the coders' losses left in the critics
        (loss_dx + loss_dz + loss_dxx).backward()
        self.opt_d.step()
        self.opt_g.step()
        return {"loss_dx": loss_dx, "loss_dz": loss_dz, "loss_dxx": loss_dxx, "loss_g": g_x + g_xx}
