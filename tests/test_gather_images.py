"""gather_images: against indexing, augment_pair on the same images, and what it refuses."""

import pytest
import torch

from bigan import ops
from bigan.ops import Draw, augment_pair, gather_images

RNG = torch.tensor([3, 9])
INDEX = torch.tensor([4, 0, 4, 6])


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
def data(request):
    torch.manual_seed(0)
    return torch.randint(0, 256, (7, 3, 9, 10), dtype=torch.uint8).contiguous(memory_format=request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_indexing(data, dtype):
    x = gather_images(data, INDEX, scale=2 / 255, shift=-1.0, dtype=dtype)
    assert (
        x.dtype == dtype
        and x.stride()
        == data[INDEX]
        .contiguous(memory_format=torch.channels_last if data.stride(1) == 1 else torch.contiguous_format)
        .stride()
    )
    torch.testing.assert_close(x, (data[INDEX].double() * (2 / 255) - 1).to(dtype))


def test_mirror_is_of_image_and_twin(data):
    mirror = torch.tensor([True, False, False, True])
    offset = torch.tensor([[0, 1], [2, 2], [1, 0], [0, 0]])
    images = torch.where(mirror[:, None, None, None], data[INDEX].flip(3), data[INDEX])
    x, y = gather_images(data, INDEX, pad=1, layout="apart", draw=Draw(offset, mirror=mirror))
    assert torch.equal(x, images.float())
    assert torch.equal(y, augment_pair(images, pad=1, draw=Draw(offset)))


def test_twin_is_augment_pairs(data):
    options = dict(
        pad=4, flip=0.5, kernel_size=5, contrast=(0.5, 1.5), layout="channels", rng=RNG, scale=1 / 255
    )
    assert torch.equal(gather_images(data, INDEX, **options), augment_pair(data[INDEX], **options))


def test_sample_ids_make_the_draw_the_images_own(data):
    draw = dict(mirror=0.5, pad=3, layout="width", rng=RNG)
    x = gather_images(data, INDEX, sample_id=INDEX, **draw)
    assert torch.equal(x[0], x[2])
    assert torch.equal(gather_images(data, INDEX[1:], sample_id=INDEX[1:], **draw), x[1:])


def test_empty(data):
    assert gather_images(data, INDEX[:0]).shape == (0, 3, 9, 10)
    assert gather_images(data[:0], INDEX[:0], pad=1, layout="width").shape == (0, 3, 9, 20)


@pytest.mark.parametrize(
    "index,message",
    [
        ([0, 7], r"gather_images: index must lie in \[0, 6\], got values from 0 to 7"),
        ([-1], r"gather_images: index must lie in \[0, 6\], got values from -1 to -1"),
        ([[1]], r"gather_images: index must be \[B\] int64 cpu, got \[1, 1\]"),
        ([1.0], r"gather_images: index must be \[B\] int64 cpu, got \[1\] float32"),
    ],
)
def test_bad_index(data, index, message):
    with pytest.raises(ValueError, match=message):
        gather_images(data, torch.tensor(index))


def test_bad_data(data):
    with pytest.raises(ValueError, match=r"gather_images: data must be \[N, C, H, W\] uint8, got"):
        gather_images(data.float(), INDEX)
    with pytest.raises(ValueError, match="gather_images: mirror must be a probability"):
        gather_images(data, INDEX, mirror=-0.1)


def test_raw_operator_reads_nothing_outside(data):
    how = (*[None] * 7, 0, 4 | 1 << 5, 0, 1, 0, 0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0)
    call = torch.ops.bigan.gather_images
    _, x = call(data, torch.tensor([-5, 99]), *how)
    assert torch.equal(x, data[[0, 6]].float())
    if ops.backends("gather_images", "cpu")["native"]:
        pytest.skip("the reference is plain PyTorch")
    for bad in ((data[:0], INDEX), (data, INDEX.int()), (data.float(), INDEX), (data[0], INDEX)):
        with ops.use_backend("native"), pytest.raises(RuntimeError, match="gather_images: "):
            call(*bad, *how)
