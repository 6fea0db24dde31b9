"""Exported models: the same bits as the run's, without trainer or critics; programs that compute the same."""

import builtins
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import bigan
from bigan import systems
from bigan.cli import main
from bigan.engine.config import Run, to_json
from bigan.engine.loadrun import load_run
from bigan.engine.loop import train
from bigan.engine.noise import Noise
from bigan.errors import UserError
from bigan.export import Model, folder, programs, write_programs
from bigan.export.hub import FILES
from bigan.systems.base import System


def untrained(name, size=None, **config) -> Model:
    """A model of a preset's networks whose running statistics are not those of a start."""
    module = systems.load(name)
    c = module.Config(**config) if config else module.PRESETS["cpu"].config
    side = size or module.PRESETS["cpu"].size
    system: System = module.build(c, (1, side, side))
    for key, t in system.state_dict().items():
        if "running" in key:
            t.copy_(torch.rand_like(t) + 0.5)
    trained = {"kimg": 1.5, "ema": False, "data": "digits", "seed": 0}
    record = {"format": folder.FORMAT, "bigan": bigan.__version__, "system": name, "preset": "cpu"}
    return Model(system, {**record, "image_shape": [1, side, side], "config": to_json(c), "trained": trained})


INTROVAE = dict(channels=(4, 4), z_dim=3)  # 16 px; statistics of its own for codes from the prior


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a second, with averaged weights."""
    path = tmp_path_factory.mktemp("export")
    np.savez(path / "images.npz", images=np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8))
    config = systems.load("vaegan").Config(
        (4,), (), (4,), 3, (8,), 4, z_dim=3, lr=1e-3
    )  # its critic is most of it
    settings = Run(
        out=path / "run",
        data=str(path / "images.npz"),
        size=16,
        batch=8,
        kimg=0.08,
        ema=0.02,
        tensorboard=False,
    )
    return train("vaegan", config, settings, "cpu")


def test_three_lines_give_the_run_s_bits(run, tmp_path, capsys):
    assert main(["export", str(run), "--out", str(tmp_path / "model")]) == 0
    assert f"bigan.load({str(tmp_path / 'model')!r})" in capsys.readouterr().out
    system, record = load_run(run)
    x = torch.rand(5, 1, 16, 16)
    for source in (tmp_path / "model", run):
        model = bigan.load(source)
        with torch.no_grad():
            z = system.encode(2 * x - 1)
            assert torch.equal(model.encode(x), z)
            assert torch.equal(model.decode(z), (system.decode(z) + 1) / 2)
            assert torch.equal(model.reconstruct(x), model.decode(z)) and torch.equal(
                model(x), model.decode(z)
            )
            want = (system.sample(4, Noise(3, "cpu").at(0)) + 1) / 2
        assert torch.equal(model.sample(4, seed=3), want)
        assert model.record["trained"] == {"kimg": 0.08, "ema": True, "data": "images.npz", "seed": 0}
        assert not any("critic" in name for name in model.state_dict())
    assert record["system"] == "vaegan"


def test_averaged_or_trained_weights(run, tmp_path):
    assert main(["export", str(run), "--no-ema", "--out", str(tmp_path)]) == 0
    trained, averaged = bigan.load(tmp_path), bigan.load(run)
    assert torch.equal(trained.system.dec[0].weight, bigan.load(run, ema=False).system.dec[0].weight)
    assert not torch.equal(trained.system.dec[0].weight, averaged.system.dec[0].weight)


@pytest.mark.parametrize("name", systems.names())
def test_every_system_goes_out_and_comes_back(name, tmp_path):
    """What is left out is what no use of the model calls, and only that."""
    model = untrained(name)
    system: System = systems.load(name).build(systems.load(name).PRESETS["cpu"].config, model.image_shape)
    called = set()
    for child, module in system.named_children():
        for part in module.modules():
            part.register_forward_pre_hook(lambda *_, child=child: called.add(child))
    with system.inference():
        x = system.sample(2, Noise(0, "cpu").at(0))
        if system.has_encoder():
            system.reconstruct(x)
    kept = {child for child, _ in model.system.named_children()}
    assert kept - {"dec_prior"} == called

    model.save_pretrained(tmp_path)
    back = bigan.load(tmp_path)
    assert back.state_dict().keys() == model.state_dict().keys()
    assert not any(t.is_meta or t.requires_grad for t in back.state_dict().values())
    assert torch.equal(back.sample(3), model.sample(3)) and back.sample(3).shape == (3, *model.image_shape)
    if model.has_encoder():
        x = torch.rand(3, *model.image_shape)
        assert torch.equal(back.reconstruct(x), model.reconstruct(x))


def test_images_of_either_type_and_gradients_to_inputs():
    model = untrained("vae", 16, hidden=(8,), z_dim=3)
    pixels = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(model.encode(pixels), model.encode(pixels.float() / 255))
    z = torch.randn(2, 3, requires_grad=True)
    model.decode(z).sum().backward()
    assert z.grad.any() and not any(p.requires_grad for p in model.parameters())
    assert "vae: images [1, 16, 16], codes [3]" in repr(model)


def test_loading_needs_no_trainer(tmp_path):
    untrained("introvae", 16, **INTROVAE).save_pretrained(tmp_path)
    code = (
        "import sys, bigan; m = bigan.load(sys.argv[1]); m.sample(2);"
        "print(sorted(set(sys.modules) & {'tensorboard', 'tyro', 'sklearn', 'bigan.engine.loop'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda path: (path / "config.json").unlink(), "neither a run directory nor an exported model"),
        (lambda path: (path / "config.json").write_text("{"), "is damaged"),
        (lambda path: (path / "model.safetensors").write_bytes(b"12345678"), "is damaged"),
        (lambda path: _change(path, format="bigan-model-9"), "format 'bigan-model-1', got 'bigan-model-9'"),
        (lambda path: _change(path, system="introvea"), "did you mean 'introvae'"),
        (lambda path: _change(path, config={**_config(path), "z_dim": 4}), "do not fit a introvae"),
        (lambda path: _change(path, config={"colour": 1}), "no setting colour: written by another version"),
    ],
)
def test_damaged_folders_are_refused(tmp_path, spoil, message):
    untrained("introvae", 16, **INTROVAE).save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        bigan.load(tmp_path)


def _config(path):
    return json.loads((path / "config.json").read_text())["config"]


def _change(path, **entries):
    record = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**record, **entries}))


def test_what_is_no_model_and_no_image_is_refused(tmp_path):
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        bigan.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no config\.json"):
        bigan.load(tmp_path)
    model = untrained("gan", 16, channels=(4,), z_dim=3, kernel=4)
    with pytest.raises(ValueError, match=r"generate: codes must be \[B, 3\], got \[2, 4\]"):
        model.generate(torch.randn(2, 4))
    with pytest.raises(ValueError, match=r"encode: images must be \[B, 1, 16, 16\], got \[2, 1, 8, 8\]"):
        model.encode(torch.rand(2, 1, 8, 8))
    with pytest.raises(UserError, match="GAN has no encoder"):
        model.encode(torch.rand(2, 1, 16, 16))


def test_messages_of_the_command(run, tmp_path, capsys):
    assert main(["export", str(run), "--out", str(run)]) == 2
    assert "--out must be another folder than the run" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "nothing")]) == 2
    assert "is no run directory" in capsys.readouterr().err


# --- programs


def test_torch_programs_need_no_bigan(tmp_path):
    """Encoder, decoder and generator, which have statistics of their own, for any batch."""
    model = untrained("introvae", 16, **INTROVAE)
    files = write_programs(model, tmp_path, ("torch",))
    assert [file.name for file in files] == ["encoder.pt2", "decoder.pt2", "generator.pt2"]
    x, z = torch.rand(7, 1, 16, 16), torch.randn(7, 3)
    torch.save({"x": x, "z": z}, tmp_path / "in.pt")
    code = """
import sys, torch
put = torch.load("in.pt")
put["codes"] = torch.export.load("encoder.pt2").module()(put["x"])
put["images"] = torch.export.load("decoder.pt2").module()(put["z"])
put["new"] = torch.export.load("generator.pt2").module()(put["z"])
assert not any(name.startswith("bigan") for name in sys.modules)
torch.save(put, "out.pt")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out = torch.load(tmp_path / "out.pt")
    torch.testing.assert_close(out["codes"], model.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out["images"], model.decode(z), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out["new"], model.generate(z), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(out["images"], out["new"], atol=1e-3)  # or the statistics would not matter


@pytest.mark.parametrize("name", ["age", "ali"])
def test_encoders_with_steps_of_their_own_are_traced(name):
    """AGE's codes end on the sphere, by an operator of bigan; ALI's images get channels of noise, or none."""
    model = untrained(name)
    program = programs.traced(programs.Function(model, "encode"), (torch.rand(2, *model.image_shape),))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert any("conv2d" in name for name in called) and not any("bigan" in name for name in called)
    x = torch.rand(3, *model.image_shape)
    torch.testing.assert_close(program.module()(x), model.encode(x))


def test_a_program_that_computes_something_else_is_found(tmp_path):
    function = programs.Function(untrained("introvae", 16, **INTROVAE), "encode")
    inputs = [(torch.rand(n, 1, 16, 16),) for n in (1, 3)]
    programs.check(tmp_path, function, function, inputs)
    with pytest.raises(ValueError, match="does not compute what the model does"):
        programs.check(tmp_path, lambda x: function(x) * 1.01, function, inputs)


def test_onnx_programs(tmp_path):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason="ONNX files need bigan[onnx]")
    import onnxruntime

    model = untrained("vae", 16, channels=(4,), hidden=(), z_dim=3, norm="batch", act="relu")
    files = write_programs(model, tmp_path, ("onnx",))
    assert [file.name for file in files] == ["encoder.onnx", "generator.onnx"]
    x = torch.rand(7, 1, 16, 16)
    session = onnxruntime.InferenceSession(files[0], providers=["CPUExecutionProvider"])
    (codes,) = session.run(["codes"], {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(codes), model.encode(x), rtol=1e-4, atol=1e-5)


# --- what is not installed, and the hub


@pytest.fixture
def without(monkeypatch):
    """Hide a package from import statements."""

    def hide(*hidden):
        real = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name.partition(".")[0] in hidden:
                raise ImportError(f"No module named {name!r}", name=name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return hide


def test_missing_extras_are_named_before_anything_is_written(run, tmp_path, without, capsys):
    without("onnxruntime", "huggingface_hub")
    for flags, message in (
        (["--onnx"], "pip install 'bigan[onnx]'"),
        (["--push", "someone/something"], "--push needs huggingface_hub: pip install 'bigan[hub]'"),
    ):
        assert main(["export", str(run), "--out", str(tmp_path / "model"), *flags]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    with pytest.raises(UserError, match=r"'someone/something' is no folder here.*bigan\[hub\]"):
        bigan.load("someone/something")


def test_without_the_hub_folders_work_and_the_rest_says_what_to_install(tmp_path):
    """In a process of its own: whether the hub is there is settled at import."""
    untrained("introvae", 16, **INTROVAE).save_pretrained(tmp_path / "a")
    code = """
import sys
sys.modules["huggingface_hub"] = None
import bigan
from bigan.export import Model
model = Model.from_pretrained("a")
model.save_pretrained("b")
assert open("a/model.safetensors", "rb").read() == open("b/model.safetensors", "rb").read()
try:
    model.push_to_hub("someone/something")
except bigan.errors.UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "push_to_hub needs huggingface_hub: pip install 'bigan[hub]'\n", done.stderr


def test_the_hub_is_given_the_folder(tmp_path, monkeypatch):
    """push_to_hub and back, with the hub's two calls replaced by a folder."""
    hub = pytest.importorskip("huggingface_hub", reason="the hub needs bigan[hub]")
    import shutil

    model, store = untrained("introvae", 16, **INTROVAE), tmp_path / "store"

    def create_repo(self, repo_id, **options):
        return hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(self, *, repo_id, folder_path, **options):
        shutil.copytree(folder_path, store / repo_id)
        return f"{repo_id} has it"

    def snapshot_download(repo_id, *, allow_patterns, **options):
        if options.get("revision") == "gone":
            raise OSError("no revision gone\nand more")
        assert set(allow_patterns) >= {path.name for path in (store / repo_id).iterdir()}
        return str(store / repo_id)

    monkeypatch.setattr(hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert model.push_to_hub("someone/something") == "someone/something has it"
    assert {p.name for p in (store / "someone/something").iterdir()} == set(FILES)
    assert "library_name: bigan" in (store / "someone/something/README.md").read_text()
    assert torch.equal(bigan.load("someone/something").sample(2), model.sample(2))
    with pytest.raises(UserError, match=r"the hub does not give it: no revision gone$"):
        bigan.load("someone/something", revision="gone")
    again = Model.from_pretrained(store / "someone/something")
    assert torch.equal(again.sample(2), model.sample(2))
