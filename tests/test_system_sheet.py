"""scripts/system_sheet.py: trains, resumes, and shows what it trained."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import system_sheet

from bigan.errors import UserError


def test_a_sheet_and_a_table_of_what_was_trained(tmp_path, capsys):
    call = ["gan", "vae", "--kimg", "0.1", "--runs", str(tmp_path / "runs"), "--docs", str(tmp_path)]
    assert system_sheet.main(call) == 0
    with Image.open(tmp_path / "systems.png") as picture:
        first = picture.copy()
    head, height = system_sheet.HEAD, (first.height - system_sheet.HEAD) // 2
    assert first.width > system_sheet.LABEL + 64 * (system_sheet.SAMPLES + 2 * system_sheet.PAIRS)
    right = (first.width // 2 + 100, head, first.width, head + height)
    assert first.convert("L").crop(right).getextrema() == (255, 255)  # a GAN reconstructs nothing
    lower = tuple(v + height * (k % 2) for k, v in enumerate(right))
    assert first.convert("L").crop(lower).getextrema() == (0, 255)
    rows = [
        line.split(" | ")
        for line in (tmp_path / "systems.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    assert [row[0] for row in rows] == ["| `gan`", "| `vae`"] and rows[0][1] == rows[1][1] == "128"
    assert rows[0][-1] == "no encoder |"
    log = (tmp_path / "runs/vae/log.jsonl").read_text().splitlines()
    assert rows[1][-1] == f"{json.loads(log[-1])['val_mse']:.4f} |"

    assert system_sheet.main(call) == 0
    assert "is finished" in capsys.readouterr().err
    with Image.open(tmp_path / "systems.png") as picture:
        assert picture.tobytes() == first.tobytes()


def test_a_term_that_is_not_finite_is_named(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "kimg": 0.5, "loss_d": null, "seconds": 1.0}\n')
    with pytest.raises(UserError, match=r"loss_d not finite after 0\.5 kimg"):
        system_sheet.row("gan", tmp_path)


def test_a_system_that_fails_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    def train(name, *rest):
        raise UserError(f"{name} went wrong")

    monkeypatch.setattr(system_sheet, "train", train)
    assert system_sheet.main(["gan", "vae", "--runs", str(tmp_path), "--docs", str(tmp_path / "docs")]) == 1
    told = capsys.readouterr().err
    assert "gan went wrong" in told and "vae went wrong" in told and "failed: gan, vae" in told
