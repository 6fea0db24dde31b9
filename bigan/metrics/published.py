"""The papers' tables: each row's published numbers, and what trains it here.

Sources: PAGAN (Alanov et al. 2018, arXiv:1810.04920, tables 1 to 4), ALI (Dumoulin et al. 2016,
arXiv:1606.00704), IAN (Brock et al. 2016, arXiv:1609.07093).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

SVM, MODES = "L2-SVM error, 1000 labels", "modes covered"
NEAR = "share of samples near a mode"  # points that lie all over the plane cover every mode
MIXTURE = "25 Gaussians"  # points, no images: metrics/mixture.py


@dataclass(frozen=True)
class Row:
    name: str
    published: dict[str, str]  # metric -> as printed
    system: str = ""  # "": nothing is trained, the images are augmented
    preset: str = ""  # the paper's settings
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)  # of Config, at --scale cpu
    note: str = ""


@dataclass(frozen=True)
class Table:
    title: str
    metrics: dict[str, str]  # metric -> which is better
    rows: tuple[Row, ...]
    data: str = "cifar10"
    size: int = 32  # at --scale cpu, as the next two
    kimg: float = 100.0
    batch: int = 32


# The same small networks for every row, down to 4x4 pixels. The padding is a tenth of the side.
_PAGAN = {"channels": (16, 32, 64, 128), "z_dim": 64, "hidden": (128, 128), "pad": 3, "lr": 5e-4}
_PAGAN_16 = {**_PAGAN, "channels": (16, 32, 64), "pad": 2}
_CODE = {"z_dim": 64}
_BEST = {"FID": "32.84", "IS": "6.56 ± 0.06", "RID": "13.01 ± 0.82"}


def _pad(pixels: int, fraction: str, **published: str) -> Row:
    changes = {**_PAGAN, "pad": pixels}
    return Row(f"pad {fraction}", published, "pagan", f"pad-{fraction}", changes)


TABLES = {
    "pagan-table": Table(
        "PAGAN, table 1: samples on CIFAR-10",
        {"FID": "lower", "IS": "higher"},
        (
            Row("WAE-GAN", {"FID": "87.7", "IS": "4.18 ± 0.04"}, "wae_gan", "cifar10"),
            Row("ALI", {"IS": "5.34 ± 0.04"}, "ali", "cifar10"),
            Row("AGE", {"FID": "39.51", "IS": "5.90 ± 0.04"}, "age", "cifar10"),
            Row("ALICE", {"IS": "6.02 ± 0.03"}, "alice", "cifar10"),
            Row("S-VAE", {"IS": "6.055"}, "svae", "cifar10"),
            Row("alpha-GAN", {"IS": "6.2"}, "alpha_gan", "cifar10"),
            Row("AS-VAE", {"IS": "6.3"}, "asvae", "cifar10"),
            Row("PD-WGAN", {"FID": "33.0", "IS": "6.70 ± 0.09"}, "pd_wgan", "cifar10"),
            Row("PAGAN", {"FID": "32.84", "IS": "6.56 ± 0.06"}, "pagan", "cifar10", _PAGAN),
        ),
        kimg=30,
    ),
    "pagan-rid": Table(
        "PAGAN, table 2: reconstructions on CIFAR-10",
        {"RMSE": "lower", "RID": "lower"},
        (
            Row("AUG", {"RMSE": "8.89", "RID": "1.57 ± 0.02"}, note="the images themselves, shifted"),
            Row("VAE", {"RMSE": "5.85", "RID": "44.33 ± 2.27"}, "vae", "cifar10", _CODE),
            Row("S-VAE", {"RMSE": "8.59", "RID": "38.13 ± 1.92"}, "svae", "cifar10", _CODE),
            Row("AGE", {"RMSE": "6.675", "RID": "19.02 ± 0.84"}, "age", "cifar10", _CODE),
            Row("PAGAN", {"RMSE": "8.12", "RID": "13.01 ± 0.82"}, "pagan", "cifar10", _PAGAN),
        ),
        kimg=300,
    ),
    "pagan-ablation": Table(
        "PAGAN, table 3: what the augmented pairs are worth, on CIFAR-10",
        {"FID": "lower", "IS": "higher", "RID": "lower"},
        (
            Row("PAGAN", _BEST, "pagan", "cifar10", _PAGAN_16),
            Row(
                "PAGAN-L1", {"FID": "76.73", "IS": "4.46 ± 0.03", "RID": "30.94 ± 1.58"},
                "pagan", "l1", {**_PAGAN_16, "pairs": "l1"},
            ),
            Row(
                "PAGAN-NOAUG", {"FID": "111.151", "IS": "4.23 ± 0.06", "RID": "50.15 ± 2.71"},
                "pagan", "noaug", {**_PAGAN_16, "pairs": "identical"},
            ),
        ),
        size=16, kimg=200,
    ),
    "pagan-augmentation": Table(
        "PAGAN, choice of the augmentation, on CIFAR-10",
        {"IS": "higher", "FID": "lower", "RID": "lower"},
        (
            _pad(0, "0", IS="3.35 ± 0.03", FID="108.81"),
            _pad(1, "0.05", IS="5.62 ± 0.01", FID="45.60", RID="14.70 ± 1.08"),
            _pad(3, "0.1", IS="6.56 ± 0.09", FID="37.20", RID="12.75 ± 0.75"),
            _pad(4, "0.15", IS="6.16 ± 0.03", FID="39.38", RID="12.25 ± 0.71"),
            _pad(6, "0.2", IS="6.16 ± 0.19", FID="39.18", RID="13.86 ± 0.72"),
            Row(
                "blur", {"IS": "2.15 ± 0.01", "FID": "200.66", "RID": "32.92 ± 1.46"},
                "pagan", "blur", {**_PAGAN, "pad": 0, "blur": 5}, "its strength is not published",
            ),
            Row(
                "contrast", {"IS": "4.18 ± 0.01", "FID": "101.27", "RID": "50.02 ± 2.10"},
                "pagan", "contrast", {**_PAGAN, "pad": 0, "contrast": 0.5}, "its strength is not published",
            ),
        ),
        kimg=60,
    ),
    "ali-mixture": Table(
        "ALI, 25 Gaussians in the plane: modes that 10,000 samples cover",
        {MODES: "higher", NEAR: "higher"},
        (
            Row("ALI", {MODES: "13.4 ± 5.8"}, "ali"),
            Row("GAN", {MODES: "10.4 ± 9.2"}, note="not trained here: `gan` has networks for images alone"),
        ),
        data=MIXTURE, kimg=500,
    ),
    "ian-svm": Table(
        "IAN and ALI: error of an L2-SVM on the codes, 1000 labels, SVHN",
        {SVM: "lower"},
        (
            Row(
                "IAN", {SVM: "0.1850 ± 0.0038"}, "ian", "v1", {"z_dim": 64},
                "published on the encoder's first fully connected layer",
            ),
            Row(
                "ALI", {SVM: "0.1914 ± 0.0050"}, "ali", "svhn", {},
                "published on the codes beside the last hidden layers",
            ),
        ),
        data="svhn", kimg=60,
    ),
}  # fmt: skip
