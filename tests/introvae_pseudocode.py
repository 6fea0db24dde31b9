"""IntroVAE once more, from the paper and the authors' release alone: bare tensors, no module, no optimiser.

A network is the list of its parameters in order, its normalisations' running (mean, variance) beside them.
"""

import torch
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu


class Net:
    def __init__(self, params, stats):
        self.params, self.stats = list(params), stats  # by kind of input: a list of (mean, variance)

    @classmethod
    def like(cls, module):
        """Copies of a module's parameters and running statistics."""
        params = [p.detach().clone().requires_grad_() for p in module.parameters()]
        norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        stats = [(m.running_mean.clone(), m.running_var.clone()) for m in norms]
        return cls(params, {"data": stats, "prior": stats.copy()})

    def descend(self, gradients, lr):
        moved = [p - lr * g for p, g in zip(self.params, gradients, strict=True)]
        return Net([p.detach().requires_grad_() for p in moved], self.stats)

    def begin(self, kind):
        self._params, self._norm, self._kind = iter(self.params), 0, kind

    def conv(self, x, padding=0, bias=False):
        weight = next(self._params)
        return conv2d(x, weight, next(self._params) if bias else None, padding=padding)

    def linear(self, x):
        weight, bias = next(self._params), next(self._params)
        return x @ weight.T + bias

    def norm(self, x):
        gain, shift = next(self._params), next(self._params)
        mean = x.mean((0, 2, 3))
        var = (x - mean[:, None, None]).square().mean((0, 2, 3))
        if self._kind:
            n = x.numel() / x.shape[1]
            old_mean, old_var = self.stats[self._kind][self._norm]
            new_var = var.detach() * n / (n - 1)
            self.stats[self._kind][self._norm] = (
                0.9 * old_mean + 0.1 * mean.detach(),
                0.9 * old_var + 0.1 * new_var,
            )
        self._norm += 1
        hat = (x - mean[:, None, None]) / (var + 1e-5).sqrt()[:, None, None]
        return hat * gain[:, None, None] + shift[:, None, None]

    def residual(self, x, expand=False):
        shortcut = self.conv(x) if expand else x
        y = leaky_relu(self.norm(self.conv(x, 1)), 0.2)
        return leaky_relu(self.norm(self.conv(y, 1) + shortcut), 0.2)


def encoder(net, x, expansions, kind="data"):
    """`expansions`: for each transition between listed widths, whether its shortcut is a 1x1 convolution.

    `kind`: whose running statistics the pass goes into, if any's.
    """
    net.begin(kind)
    y = avg_pool2d(leaky_relu(net.norm(net.conv(x, 2)), 0.2), 2)
    for expand in expansions:
        y = avg_pool2d(net.residual(y, expand), 2)
    y = net.linear(net.residual(y).reshape(len(x), -1))
    assert next(net._params, None) is None
    return y[:, : y.shape[1] // 2], y[:, y.shape[1] // 2 :]


def decoder(net, z, expansions, kind="data"):
    net.begin(kind)
    y = net.linear(z).relu()
    y = interpolate(net.residual(y.reshape(len(z), -1, 4, 4)), scale_factor=2)
    for expand in reversed(expansions):
        y = interpolate(net.residual(y, expand), scale_factor=2)
    y = net.conv(net.residual(y), 2, bias=True)
    assert next(net._params, None) is None
    return y


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


def hinge(kls, m, kind):
    return (m - kls.mean()).clamp(min=0) if kind == "batch" else (m - kls).clamp(min=0).mean()


def step(E, G, x, z_p, eps, expansions, c):
    """The release's step in its order: G keeps what the encoder's backward left in it.  -> E, G, terms"""

    def enc(net, fake):
        return encoder(net, fake, expansions, kind=None)

    x_p = decoder(G, z_p, expansions, kind="prior")
    mu, logvar = encoder(E, x, expansions)
    x_r = decoder(G, mu + (logvar / 2).exp() * eps, expansions)
    rec = ((x_r - x) ** 2).sum((1, 2, 3)).mean()
    k_x = kl(mu, logvar).mean()
    h_r, h_p = (hinge(kl(*enc(E, fake.detach())), c.m, c.hinge) for fake in (x_r, x_p))
    loss_e = c.w_rec * rec + c.w_kl * (k_x + c.w_neg / 2 * (h_r + h_p))
    grads = torch.autograd.grad(loss_e, E.params + G.params, retain_graph=True)
    left_over = grads[len(E.params) :]
    E = E.descend(grads[: len(E.params)], c.lr)

    k_r, k_p = (kl(*enc(E, fake)).mean() for fake in (x_r, x_p))
    alpha = {"official": 0.5, "paper": c.w_neg / 2}[c.variant]
    fool = c.w_kl * (alpha * k_r + alpha * k_p)
    grads = torch.autograd.grad(fool, G.params)
    G = G.descend([a + b for a, b in zip(left_over, grads, strict=True)], c.lr)
    loss_g = c.w_rec * rec + fool
    names = "loss_enc loss_dec rec kl kl_r kl_p hinge_r hinge_p"
    return E, G, dict(zip(names.split(), (loss_e, loss_g, rec, k_x, k_r, k_p, h_r, h_p), strict=True))


def vae_step(E, G, x, eps, expansions, c):
    mu, logvar = encoder(E, x, expansions)
    rec = ((decoder(G, mu + (logvar / 2).exp() * eps, expansions) - x) ** 2).sum((1, 2, 3)).mean()
    k_x = kl(mu, logvar).mean()
    grads = torch.autograd.grad(rec + k_x, E.params + G.params)
    n = len(E.params)
    terms = dict(loss_enc=rec + k_x, loss_dec=rec + k_x, rec=rec, kl=k_x)
    return E.descend(grads[:n], c.lr), G.descend(grads[n:], c.lr), terms
