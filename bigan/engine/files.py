"""Writing a file so that it is there whole, or not at all."""

import os
from pathlib import Path

TEMPORARY = ".tmp"  # suffix of what a kill can leave behind


def write(path: Path, data: bytes, durable: bool = True) -> None:
    """Replace `path` by `data`; on any failure what was there before stays, and no temporary file."""
    temporary = write_temporary(path, data, durable)
    os.replace(temporary, path)
    if durable:
        sync_folder(path.parent)


def write_temporary(path: Path, data: bytes, durable: bool = True) -> Path:
    """`data` in a file beside `path`; if durable, on the disk and not only in its cache."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
