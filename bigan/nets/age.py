"""AGE's convolutional networks (Ulyanov et al. 2018, arXiv:1704.02304; the authors' dcgan32px.py and
dcgan64px.py), for images of 32 or 64 pixels; `width` is the authors' ndf and ngf, 64. The two sides are not
one recipe: at 32 pixels the encoder averages its last map and the generator ends in a 1x1 convolution.
Convolutions start from N(0, 0.02), the gains of the normalisations from N(1, 0.02). Letters in shapes:
B batch, C image channels, S side, Z code.
"""

from itertools import pairwise

from torch import nn

from bigan.nets.norm import BatchNorm2d

SIDES = (32, 64)


def age_encoder(side: int, width: int, z_dim: int, image_channels: int = 3) -> nn.Sequential:
    """Image to the code before its projection onto the sphere.  [B, C, S, S] -> [B, Z]"""
    down = [nn.Conv2d(image_channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    widths = [width * 2**i for i in range(3 if side == 32 else 4)]
    for a, b in pairwise(widths):
        down += [
            nn.Conv2d(a, b, 4, 2, 1, bias=False),
            BatchNorm2d(b),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    last = widths[-1]  # at side 4
    if side == 32:
        head = [nn.Conv2d(last, z_dim, 4, 2, 1), nn.AvgPool2d(2)]
    else:
        head = [nn.Conv2d(last, z_dim, 4)]
    return _initialised(nn.Sequential(*down, *head, nn.Flatten()))


def age_generator(side: int, width: int, z_dim: int, image_channels: int = 3) -> nn.Sequential:
    """Code to image in [-1, 1].  [B, Z] -> [B, C, S, S]"""
    widths = [8 * width, 4 * width, 2 * width, 2 * width if side == 32 else width]  # at sides 4, 8, 16, 32
    up = [nn.Unflatten(1, (z_dim, 1, 1)), nn.ConvTranspose2d(z_dim, widths[0], 4, bias=False)]
    for a, b in pairwise(widths):
        up += [BatchNorm2d(a), nn.ReLU(inplace=True), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
    last = widths[-1]
    tail: nn.Module
    if side == 32:
        tail = nn.Conv2d(last, image_channels, 1)
    else:
        tail = nn.ConvTranspose2d(last, image_channels, 4, 2, 1, bias=False)
    return _initialised(nn.Sequential(*up, BatchNorm2d(last), nn.ReLU(inplace=True), tail, nn.Tanh()))


def _initialised(net: nn.Sequential) -> nn.Sequential:
    for module in net:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)  # biases keep PyTorch's
        elif isinstance(module, BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return net
