"""What every test starts from: the device, Triton's interpreter where there is no GPU, seeds."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before the first `import triton`


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
