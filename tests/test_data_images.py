"""One image after the other: modes, orientation, damage, sizes, channels."""

import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from data_makers import encode, picture, pixels, png, write_folder, write_zip
from PIL import Image

from bigan import data
from bigan.data import DataError, pool
from bigan.data.decode import BadImage, decode, dimensions
from bigan.data.resize import fit

RED, WHITE = (255, 0, 0), (255, 255, 255)


def rgb(image: Image.Image) -> tuple[int, ...]:
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


# Modes


def test_grey_stays_grey():
    assert decode(encode(Image.new("L", (2, 2), 77))).getpixel((0, 0)) == 77
    assert decode(encode(Image.new("1", (2, 2), 1))).getpixel((0, 0)) == 255
    assert decode(encode(Image.new("LA", (2, 2), (77, 255)))).getpixel((0, 0)) == 77
    assert decode(encode(Image.new("LA", (2, 2), (77, 0)))).getpixel((0, 0)) == 255  # on white


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(kind):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    pgm = b"P5 4 1 65535\n" + values.astype(">u2").tobytes()
    got = decode(pgm if kind == "PPM" else encode(Image.fromarray(values), kind))
    assert got.mode == "L" and np.asarray(got).tolist() == [[0, 1, 128, 255]]


def test_float_and_32_bit_images_are_refused():
    with pytest.raises(BadImage, match="no agreed range"):
        decode(encode(Image.new("F", (2, 2), 0.5), "TIFF"))
    with pytest.raises(BadImage, match="outside 16 bits"):
        decode(encode(Image.fromarray(np.array([[1 << 20]], np.int32)), "TIFF"))


def test_transparent_pixels_become_white():
    assert rgb(decode(encode(Image.new("RGBA", (2, 2), (*RED, 0))))) == WHITE
    assert rgb(decode(encode(Image.new("RGBA", (2, 2), (*RED, 255))))) == RED
    assert rgb(decode(encode(Image.new("RGBA", (2, 2), (0, 0, 0, 51))))) == (204, 204, 204)
    assert rgb(decode(encode(Image.new("RGB", (2, 2), RED), transparency=RED))) == WHITE  # PNG's colour key


def test_palette():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, *RED])
    assert rgb(decode(encode(image))) == RED
    assert rgb(decode(encode(image, "GIF"))) == RED
    assert rgb(decode(encode(image, transparency=1))) == WHITE


def test_cmyk_and_webp():
    assert rgb(decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)))[0] > 200
    assert rgb(decode(encode(Image.new("RGB", (2, 2), RED), "WEBP", lossless=True))) == RED


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, WHITE, (0, 0, 0))]
    blob = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert rgb(decode(blob)) == RED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind):
    x = np.zeros((8, 16, 3), np.uint8)
    x[:, :8] = RED  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: red on top
    blob = encode(Image.fromarray(x), kind, exif=exif)
    got = decode(blob)
    assert got.size == (8, 16) == dimensions(blob)
    assert got.getpixel((4, 2))[0] > 200 and got.getpixel((4, 13))[0] < 50


# Sizes


def test_fit_crops_the_centre_and_does_not_alias():
    x = np.zeros((8, 24, 3), np.uint8)
    x[:, 8:16] = RED
    assert np.asarray(fit(Image.fromarray(x), 8)).tolist() == [[list(RED)] * 8] * 8
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    assert abs(np.asarray(fit(Image.fromarray(stripes), 16)).astype(int)[4:-4, 4:-4] - 127).max() <= 1
    image = Image.fromarray(stripes)
    assert fit(image, 64) is image


def test_large_jpegs_are_decoded_at_less_than_full_size_and_look_the_same():
    ramp = np.linspace(0, 255, 1024)
    x = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 255 - ramp), -1).astype(np.uint8)
    blob = encode(Image.fromarray(x), "JPEG", quality=95)
    full = fit(decode(blob), 32)
    assert np.abs(np.asarray(decode(blob, 32)).astype(int) - np.asarray(full)).max() <= 3


def test_sizes_that_differ(tmp_path):
    x = pixels(3, 8)
    files = {"0.png": png(x[0]), "1.png": png(x[1]), "d/2.png": png(np.tile(x[2], (1, 1, 2)))}
    for path in (write_folder(tmp_path / "s", files), write_zip(tmp_path / "s.zip", files)):
        with pytest.raises(
            DataError, match=r"d/2.png is 16x8, the first is 8x8; .*8x8 \(2\), 16x8 \(1\).*--size N"
        ):
            data.load(path)
        got = data.load(path, size=8)
        assert got.images.shape == (3, 3, 8, 8) and torch.equal(got.images[:2], torch.from_numpy(x[:2]))
        assert data.load(path, size=5).images.shape == (3, 3, 5, 5)


def test_odd_ones_are_skipped_whichever_comes_first(tmp_path, caplog):
    x = pixels(3, 8)
    files = {"0.png": png(pixels(1, 9)[0]), "1.png": png(x[1]), "2.png": png(x[2])}
    got = data.load(write_folder(tmp_path, files), skip_bad=True)
    assert torch.equal(got.images, torch.from_numpy(x[1:])) and got.skipped == 1
    assert "skipped 1 of 3 unreadable images (first: 0.png: is 9x9, and most are 8x8)" in caplog.text


def test_oblong_images_of_one_size_stay_oblong(tmp_path):
    x = pixels(2, 8)[..., :4]
    assert torch.equal(
        data.load(write_folder(tmp_path, {"0.png": png(x[0]), "1.png": png(x[1])})).images,
        torch.from_numpy(x),
    )


@pytest.mark.parametrize("kind", ["png", "npz"])
@pytest.mark.parametrize("size", [4, 8, 12])
def test_files_and_arrays_are_resized_alike(tmp_path, kind, size):
    x = pixels(3, 8)
    if kind == "npz":
        np.savez(tmp_path / "s.npz", images=x)
    else:
        write_folder(tmp_path / "s.npz", {f"{i}.png": png(image) for i, image in enumerate(x)})
    got = data.load(tmp_path / "s.npz", size=size).images
    want = np.stack([np.asarray(fit(picture(image), size)).transpose(2, 0, 1) for image in x])
    assert torch.equal(got, torch.from_numpy(want))


def test_more_than_the_machine_has(tmp_path):
    with pytest.raises(DataError, match="GiB of memory; pass a smaller --size"):
        data.load("digits", size=1_000_000)


@pytest.mark.parametrize(
    "encoded, helps", [(True, "--size, or --cache"), (False, "--size, fewer images, or a folder")]
)
def test_a_cache_is_advised_where_it_helps(encoded, helps):
    with pytest.raises(DataError, match=helps):
        pool.check_memory("data", 1 << 50, encoded=encoded)


# Channels


def test_grey_only_if_all_are(tmp_path):
    grey, colour = pixels(2, 8, 1), pixels(1, 8)
    files = {"0.png": png(grey[0]), "1.png": png(grey[1])}
    assert torch.equal(data.load(write_folder(tmp_path, files)).images, torch.from_numpy(grey))
    assert data.load(tmp_path, channels=3).images.equal(torch.from_numpy(grey).expand(2, 3, 8, 8))
    write_folder(tmp_path, {"2.png": png(colour[0])})
    mixed = data.load(tmp_path).images
    assert torch.equal(mixed[:2], torch.from_numpy(grey).expand(2, 3, 8, 8))
    assert torch.equal(mixed[2], torch.from_numpy(colour[0]))


def test_colour_to_grey_is_the_same_for_files_and_arrays(tmp_path):
    x = pixels(5, 8)
    np.savez(tmp_path / "s.npz", images=x)
    write_folder(tmp_path / "s", {f"{i}.png": png(image) for i, image in enumerate(x)})
    a, b = (data.load(tmp_path / name, channels=1).images for name in ("s.npz", "s"))
    assert a.shape == (5, 1, 8, 8) and torch.equal(a, b)


# Damage


def damaged() -> dict[str, bytes]:
    whole = encode(picture(pixels(1, 64)[0]), "JPEG")
    return {
        "truncated.jpg": whole[: len(whole) // 2],
        "empty.jpg": b"",
        "text.png": b"hello",
        "flipped.png": png(pixels(1, 64)[0])[:200] + b"\0" * 50 + png(pixels(1, 64)[0])[250:],
        "page.jpg": b"<html>404</html>",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) run\n",
    }


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("name", damaged())
def test_damage_is_named_or_skipped(tmp_path, caplog, kind, name):
    x = pixels(2, 64)
    files = {"a.png": png(x[0]), f"sub/{name}": damaged()[name], "z.png": png(x[1])}
    path = write_folder(tmp_path / "s", files) if kind == "folder" else write_zip(tmp_path / "s.zip", files)
    with pytest.raises(DataError, match=rf"cannot read sub/{name}: .*--skip-bad") as error:
        data.load(path)
    assert str(path) in str(error.value) and " at 0x" not in str(error.value)
    got = data.load(path, skip_bad=True)
    assert torch.equal(got.images, torch.from_numpy(x)) and got.skipped == 1
    assert f"skipped 1 of 3 unreadable images (first: sub/{name}" in caplog.text


def test_labels_of_skipped_images_go_with_them(tmp_path):
    x = pixels(200, 4)
    bad = {0, 63, 64, 130, 199}
    names = [f"{'ab'[i % 2]}/{i:03d}.png" for i in range(200)]
    write_folder(tmp_path, {name: b"" if i in bad else png(x[i]) for i, name in enumerate(names)})
    got = data.load(tmp_path, skip_bad=True)
    kept = [i for i in sorted(range(200), key=lambda i: names[i]) if i not in bad]
    assert got.skipped == 5 and got.labels.tolist() == [i % 2 for i in kept]
    assert torch.equal(got.images, torch.from_numpy(x[kept]))


def test_nothing_left(tmp_path):
    write_folder(tmp_path, {"0.png": b"", "1.png": b"x"})
    with pytest.raises(DataError, match="none of the 2 images could be read"):
        data.load(tmp_path, skip_bad=True)


def test_the_first_damaged_file_is_the_one_named(tmp_path):
    x = png(pixels(1, 4)[0])
    write_folder(tmp_path, {f"{i:03d}.png": b"" if i in (70, 71, 299) else x for i in range(300)})
    for _ in range(3):
        with pytest.raises(DataError, match=r"070.png"):
            data.load(tmp_path)


def test_damaged_member_of_a_zip(tmp_path):
    path = write_zip(
        tmp_path / "s.zip", {"0.png": png(pixels(1, 16)[0]), "1.png": png(pixels(1, 16, seed=1)[0])}
    )
    blob = bytearray(path.read_bytes())
    blob[blob.index(b"IDAT") + 20] ^= 1  # the first one's pixels
    path.write_bytes(blob)
    with pytest.raises(DataError, match=r"cannot read 0.png: Bad CRC-32"):
        data.load(path)
    assert data.load(path, skip_bad=True).skipped == 1


def test_encrypted_member_of_a_zip(tmp_path):
    path = write_zip(tmp_path / "s.zip", {"0.png": png(pixels(1, 16)[0])})
    blob = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        blob[blob.index(signature) + offset] |= 1
    path.write_bytes(blob)
    with pytest.raises(DataError, match="encrypted"):
        data.load(path)


def test_names_in_a_zip_cannot_drive_the_terminal(tmp_path):
    path = write_zip(tmp_path / "s.zip", {"\x1b[2J\n0.png": b"", "1.png": png(pixels(1, 4)[0])})
    with pytest.raises(DataError) as error:
        data.load(path)
    assert str(error.value).isprintable() and r"\x1b[2J\n0.png" in str(error.value)


def test_unreadable_file_is_a_bad_image(tmp_path, monkeypatch):
    import builtins

    write_folder(tmp_path, {"0.png": png(pixels(1, 4)[0]), "1.png": png(pixels(1, 4)[0])})
    real = builtins.open

    def refuse(path, *args, **options):
        if str(path).endswith("1.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read 1.png: .*Permission denied"):
        data.load(tmp_path)


def test_members_that_climb_out_are_ignored(tmp_path):
    x = pixels(2, 4)
    path = write_zip(
        tmp_path / "s.zip", {"../evil.png": png(x[0]), "a/../../evil.png": png(x[0]), "./ok.png": png(x[1])}
    )
    assert torch.equal(data.load(path).images, torch.from_numpy(x[1:]))
    assert not (tmp_path.parent / "evil.png").exists()


# Bombs


def test_too_many_pixels(tmp_path):
    small = encode(Image.new("1", (8, 8)))
    header = b"IHDR" + struct.pack(">II", 9_500, 9_500) + small[24:29]
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(DataError, match=r"0.png"):
        data.load(write_folder(tmp_path, {"0.png": bomb}), size=32)


def test_member_that_says_it_is_huge(tmp_path):
    path = write_zip(tmp_path / "s.zip", {"0.png": bytes(12345)}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 12345), struct.pack("<I", 1 << 30)))
    with pytest.raises(DataError, match=r"0\.png: more than 256 MiB"):
        data.load(path)


def test_member_that_inflates_to_more_than_it_says(tmp_path):
    path = write_zip(tmp_path / "s.zip", {"0.png": bytes(1 << 22)}, zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 1 << 22), struct.pack("<I", 1000)))
    with pytest.raises(DataError, match=r"0\.png"):
        data.load(path)
