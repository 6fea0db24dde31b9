"""The Hugging Face hub, where huggingface_hub is installed; else what says how to install it."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigan.errors import UserError

MISSING = "needs huggingface_hub: pip install 'bigan[hub]'"
FILES = ["config.json", "model.safetensors", "README.md"]


class _NoHub:
    """The mixin's methods, which say what is missing."""

    def __init_subclass__(cls, **about: Any) -> None:
        super().__init_subclass__()

    def save_pretrained(self, save_directory: Path | str) -> None:
        """The one that needs no hub."""
        self._save_pretrained(Path(save_directory))  # type: ignore[attr-defined]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Path | str) -> Any:
        """Of a folder, without a hub."""
        return cls._from_pretrained(model_id=str(pretrained_model_name_or_path))  # type: ignore[attr-defined]

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        raise UserError(f"push_to_hub {MISSING}")


Hub = _NoHub
if not TYPE_CHECKING:  # the same methods, and whether it is installed must not change what mypy says
    with contextlib.suppress(ImportError):
        from huggingface_hub import ModelHubMixin as Hub  # noqa: F401 (ruff sees two names)


def need_hub(what: str) -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise UserError(f"{what} {MISSING}") from None


def fetch(name: str, **options: Any) -> Path:
    """The folder of a model on the hub, from its cache or downloaded. UserError where it is not to be had."""
    need_hub(f"{name!r} is no folder here; to load it from the hub")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=FILES, **options))
    except (OSError, ValueError, RuntimeError) as error:  # no such name, no connection, no such revision
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{name!r} is no folder here, and the hub does not give it: {reason}") from error
