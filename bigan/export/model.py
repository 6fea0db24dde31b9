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

    A conditional model, one with `labels` above 0, also needs what of `attributes` the images have: labels
    [B, Y], Y = `labels`, or [Y] for all images the same.

    record: what config.json of the exported folder holds: system, its config, image_shape, where it came from.
    """

    def __init__(self, system: System, record: dict[str, Any]):
        super().__init__()
        self.system = folder.without_critics(system).eval().requires_grad_(False)
        self.record = record
        self.image_shape, self.z_dim, self.labels = system.image_shape, system.z_dim, system.labels
        self.attributes: list[str] = record.get("attributes", [])  # the names of what it is conditioned on

    def extra_repr(self) -> str:
        return f"{self.record['system']}: images {list(self.image_shape)}, codes [{self.z_dim}]"

    def has_encoder(self) -> bool:
        """Whether there are codes of images; a GAN gives samples alone."""
        return self.system.has_encoder()

    def having(self, *names: str) -> Tensor:
        """Labels of images that have these attributes, by name or number, and no others.  -> [Y]"""
        from bigan.data import having  # a model without labels needs no reader of images

        return having(self.attributes, names).to(self._like().device)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """The code of each image, without noise.  [B, C, H, W] -> [B, Z]"""
        if x.shape[1:] != self.image_shape:
            want = ", ".join(map(str, ("B", *self.image_shape)))
            raise ValueError(f"encode: images must be [{want}], got {list(x.shape)}")
        low, high = self.system.data_range
        unit = x / 255 if x.dtype == torch.uint8 else x
        given = self._given("encode", x.shape[0], labels)
        return self.system.encode(unit.to(self._like().dtype) * (high - low) + low, *given)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The image of each code, of codes that `encode` made.  [B, Z] -> [B, C, H, W]"""
        return self._to_unit(self.system.decode(*self._codes("decode", z, labels)))

    def generate(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The image of each code, of codes from the prior: with their statistics.  [B, Z] -> [B, C, H, W]"""
        return self._to_unit(self.system.generate(*self._codes("generate", z, labels)))

    def reconstruct(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """G(E(x)).  [B, C, H, W] -> [B, C, H, W]"""
        return self.decode(self.encode(x, labels), labels)

    forward = reconstruct

    def sample(self, n: int, seed: int = 0, labels: Tensor | None = None) -> Tensor:
        """n new images, those of `bigan sample --seed`.  -> [n, C, H, W]"""
        noise = Noise(seed, self._like().device).at(0)
        return self.generate(self.system.prior(n, noise), labels)

    def _like(self) -> Tensor:
        return next(self.system.parameters())

    def _codes(self, name: str, z: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        if z.dim() != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"{name}: codes must be [B, {self.z_dim}], got {list(z.shape)}")
        return z.to(self._like().dtype), *self._given(name, z.shape[0], labels)

    def _given(self, name: str, n: int, labels: Tensor | None) -> tuple[Tensor, ...]:
        """([n, Y],), or () where the model takes no labels."""
        got = None if labels is None else list(labels.shape)
        if not self.labels:
            if got is not None:
                raise ValueError(f"{name}: labels are for conditional models, and this is none; got {got}")
            return ()
        if labels is None or got not in ([n, self.labels], [self.labels]):
            raise ValueError(f"{name}: labels must be [{n}, {self.labels}] or [{self.labels}], got {got}")
        return (labels.expand(n, -1),)

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
