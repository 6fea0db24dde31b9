"""ALI (Dumoulin et al. 2017, arXiv:1606.00704), CIFAR-10 setting, from the paper and its code."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Maxout(nn.Module):
    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces

    def forward(self, x):
        b, c, h, w = x.shape
        return x.view(b, c // self.pieces, self.pieces, h, w).max(2).values


def norm(width):
    return nn.BatchNorm2d(width, eps=1e-4, momentum=0.05)


def encoder(layers, channels, outputs, slope):
    modules = []
    for kernel, stride, width in layers:
        modules += [nn.Conv2d(channels, width, kernel, stride, bias=False), norm(width)]
        modules += [nn.LeakyReLU(slope, inplace=True)]
        channels = width
    return nn.Sequential(*modules, nn.Conv2d(channels, outputs, 1))


class Decoder(nn.Module):
    def __init__(self, layers, z_dim, channels, slope, size):
        super().__init__()
        modules = []
        for kernel, stride, width in layers:
            modules += [nn.ConvTranspose2d(z_dim, width, kernel, stride, bias=False), norm(width)]
            modules += [nn.LeakyReLU(slope, inplace=True)]
            z_dim = width
        self.body = nn.Sequential(*modules, nn.Conv2d(z_dim, channels, 1, bias=False))
        self.bias = nn.Parameter(torch.zeros(channels, size, size))

    def forward(self, z):
        return torch.sigmoid(self.body(z[:, :, None, None]) + self.bias)


class Critic(nn.Module):
    """Dropout where the authors' code has it."""

    def __init__(self, c, channels):
        super().__init__()
        first, rest = c.dropout
        image = []
        for i, (kernel, stride, width) in enumerate(c.critic_x):
            if i == 0 or i % 3 == 1:
                image.append(nn.Dropout(rest if i else first))
            image.append(nn.Conv2d(channels, width, kernel, stride))
            if i % 3 == 2:
                image.append(nn.Dropout(rest))
            image.append(Maxout(c.maxout))
            channels = width // c.maxout
        code, inputs = [], c.z_dim
        for i, width in enumerate(c.critic_z):
            code += [nn.Dropout(rest if i else first), nn.Conv2d(inputs, width, 1, bias=False)]
            code.append(Maxout(c.maxout))
            inputs = width // c.maxout
        joint, inputs = [], inputs + channels
        for width in c.critic_xz:
            joint += [nn.Dropout(rest), nn.Conv2d(inputs, width, 1), Maxout(c.maxout)]
            inputs = width // c.maxout
        joint += [nn.Dropout(rest), nn.Conv2d(inputs, 1, 1)]
        self.image, self.code = nn.Sequential(*image), nn.Sequential(*code)
        self.joint = nn.Sequential(*joint)

    def forward(self, x, z):
        return self.joint(torch.cat([self.image(x), self.code(z[:, :, None, None])], dim=1)).flatten()


class Trainer:
    def __init__(self, config, channels=3, size=32):
        c = config
        self.z_dim = c.z_dim
        self.enc = encoder(c.enc, channels, 2 * c.z_dim, c.slope)
        self.dec = Decoder(c.dec, c.z_dim, channels, c.slope, size)
        self.critic = Critic(c, channels)
        self.nets = (self.enc, self.dec, self.critic)
        coders = [*self.enc.parameters(), *self.dec.parameters()]
        self.opt_d = torch.optim.Adam(self.critic.parameters(), lr=c.lr, betas=(0.5, 0.999))
        self.opt_g = torch.optim.Adam(coders, lr=c.lr, betas=(0.5, 0.999))

    def step(self, x):
        z = torch.randn(len(x), self.z_dim, dtype=x.dtype)
        mu, logstd = self.enc(x).flatten(1).chunk(2, dim=1)
        z_q = mu + torch.exp(logstd) * torch.randn_like(mu)
        x_p = self.dec(z)

        rho_q, rho_p = self.critic(x, z_q.detach()), self.critic(x_p.detach(), z)
        loss_d = F.softplus(-rho_q).mean() + F.softplus(rho_p).mean()
        rho_q, rho_p = self.critic(x, z_q), self.critic(x_p, z)
        loss_g = F.softplus(rho_q).mean() + F.softplus(-rho_p).mean()

        # all gradients at the same parameters, then both steps
        self.opt_g.zero_grad()
        loss_g.backward()
        self.opt_d.zero_grad()  # of what the coders' loss left in the critic
        loss_d.backward()
        self.opt_d.step()
        self.opt_g.step()
        return {"loss_d": loss_d, "loss_g": loss_g}
