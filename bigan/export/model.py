"""What training leaves: an encoder and a generator that know their images' size and range, and no critics."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bigan.engine.noise import Noise
from bigan.export import folder
from bigan.export.hub import Hub, fetch
from bigan.systems.base import System


class Model(nn.Module, Hub, library_name="bigan", tags=["gan", "autoencoder", "image-generation"]):
    """The networks of a trained system, for use.

    Images are [B, C, H, W] floats in [0, 1], or uint8, on the way in and floats on the way out, whatever range
    the system was trained in; C, H and W are `image_shape`. Generated ones are not clipped: a decoder without
    a last activation may leave [0, 1] a little. Codes are [B, Z], Z = `z_dim`. Batch normalisation uses its
    running statistics. The parameters take no gradient, the inputs may.

    record: what config.json of the exported folder holds: system, its config, image_shape, where it came from.
    """

    def __init__(self, system: System, record: dict[str, Any]):
        super().__init__()
        self.system = folder.without_critics(system).eval().requires_grad_(False)
        self.record = record
        self.image_shape, self.z_dim = system.image_shape, system.z_dim

    def extra_repr(self) -> str:
        return f"{self.record['system']}: images {list(self.image_shape)}, codes [{self.z_dim}]"

    def has_encoder(self) -> bool:
        """Whether there are codes of images; a GAN gives samples alone."""
        return self.system.has_encoder()

    def encode(self, x: Tensor) -> Tensor:
        """The code of each image, without noise.  [B, C, H, W] -> [B, Z]"""
        if x.shape[1:] != self.image_shape:
            want = ", ".join(map(str, ("B", *self.image_shape)))
            raise ValueError(f"encode: images must be [{want}], got {list(x.shape)}")
        low, high = self.system.data_range
        unit = x / 255 if x.dtype == torch.uint8 else x
        return self.system.encode(unit.to(self._like().dtype) * (high - low) + low)

    def decode(self, z: Tensor) -> Tensor:
        """The image of each code, of codes that `encode` made.  [B, Z] -> [B, C, H, W]"""
        return self._to_unit(self.system.decode(self._codes("decode", z)))

    def generate(self, z: Tensor) -> Tensor:
        """The image of each code, of codes from the prior: with their statistics.  [B, Z] -> [B, C, H, W]"""
        return self._to_unit(self.system.generate(self._codes("generate", z)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """G(E(x)).  [B, C, H, W] -> [B, C, H, W]"""
        return self.decode(self.encode(x))

    forward = reconstruct

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n new images, those of `bigan sample --seed`.  -> [n, C, H, W]"""
        noise = Noise(seed, self._like().device).at(0)
        return self.generate(self.system.prior(n, noise))

    def _like(self) -> Tensor:
        return next(self.system.parameters())

    def _codes(self, name: str, z: Tensor) -> Tensor:
        if z.dim() != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"{name}: codes must be [B, {self.z_dim}], got {list(z.shape)}")
        return z.to(self._like().dtype)

    def _to_unit(self, x: Tensor) -> Tensor:
        low, high = self.system.data_range
        return (x - low) / (high - low)

    # What huggingface_hub's mixin asks for: save_pretrained, from_pretrained and push_to_hub come from it.

    def _save_pretrained(self, save_directory: Path) -> None:
        folder.write(save_directory, self.system, self.record)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "Model":
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        path = Path(model_id)
        if not path.is_dir():
            path = fetch(model_id, **{name: options.get(name) for name in known})
        return cls(*folder.read(path))
