"""What holds for every system, and for what they share."""

import dataclasses

import pytest
import torch
from torch import nn

from bigan import systems
from bigan.errors import UserError
from bigan.systems.base import Player, Preset, System, arg, minimize_at_once


@pytest.mark.parametrize("name", systems.names())
def test_modules_have_what_the_engine_asks_for(name):
    module = systems.load(name)
    assert issubclass(module.build, System) and "arXiv" in module.__doc__
    assert all(f.metadata.get("help") for f in dataclasses.fields(module.Config))
    assert "cpu" in module.PRESETS and module.PRESETS["cpu"].size <= 32


@pytest.mark.parametrize("name, preset", [(n, p) for n in systems.names() for p in systems.load(n).PRESETS])
def test_presets_build(name, preset):
    module, p = systems.load(name), systems.load(name).PRESETS[preset]
    assert isinstance(p, Preset) and isinstance(p.config, module.Config)
    assert p.batch > 0 and p.kimg > 0 and p.note
    with torch.device("meta"):
        system = module.build(p.config, (3, p.size, p.size))
        x = torch.empty(2, 3, p.size, p.size)
        labels = (torch.empty(2, system.labels),) if system.labels else ()
    assert system.image_shape == (3, p.size, p.size)
    if system.has_encoder():
        assert system.encode(x, *labels).shape == (2, system.z_dim)
        assert system.reconstruct(x, *labels).shape == x.shape
    else:
        assert system.decode(torch.empty(2, system.z_dim, device="meta")).shape == x.shape
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.config.lr = 1.0


@pytest.mark.parametrize("name", systems.names())
def test_players_own_every_parameter_once(name):
    module = systems.load(name)
    system = module.build(module.PRESETS["cpu"].config, (1, 32, 32))
    players = system.players()
    owned = [id(p) for player in players.values() for p in player.params]
    assert sorted(owned) == sorted(id(p) for p in system.parameters())
    assert all(player.name == name for name, player in players.items())


def test_an_unknown_system_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'introvae'"):
        systems.load("intravae")


def test_without_an_encoder_there_are_no_codes():
    gan = systems.load("gan").build
    assert not gan.has_encoder() and Tiny.has_encoder()
    with pytest.raises(UserError, match="GAN has no encoder"):
        gan(systems.load("gan").PRESETS["cpu"].config, (1, 32, 32)).reconstruct(torch.rand(2, 1, 32, 32))


class Tiny(System):
    data_range, z_dim = (0.0, 1.0), 3

    def __init__(self, config=None, image_shape=(1, 2, 2)):
        super().__init__(config, image_shape)
        self.enc = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.dec = nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (1, 2, 2)))

    def players(self):
        return {"enc": Player("enc", [self.enc], 0.1), "dec": Player("dec", [self.dec], 0.1)}

    def step(self, x, noise, *, kimg, enc, dec):
        return {}

    def encode(self, x):
        return self.enc(x)

    def decode(self, z):
        return self.dec(z)


class Fixed:
    def normal(self, n, dim, dtype=torch.float32):
        return torch.arange(n * dim, dtype=dtype).reshape(n, dim)


def test_inference_uses_running_statistics_and_puts_the_modes_back():
    system = Tiny()
    system.enc[2].eval()  # a part its owner froze stays so
    modes = [m.training for m in system.modules()]
    x = torch.rand(5, 1, 2, 2)
    with pytest.raises(RuntimeError, match="stop"), system.inference() as s:
        whole = s.reconstruct(x)
        assert not whole.requires_grad and not s.training
        torch.testing.assert_close(whole[:1], s.reconstruct(x[:1]))
        raise RuntimeError("stop")
    assert [m.training for m in system.modules()] == modes and torch.is_grad_enabled()


def test_samples_come_from_the_prior():
    system = Tiny().double()
    torch.testing.assert_close(system.sample(2, Fixed()), system.decode(Fixed().normal(2, 3, torch.double)))


def test_minimize_moves_its_player_alone(monkeypatch):
    monkeypatch.setattr(Player, "optimizer", lambda params, lr, betas: torch.optim.SGD(params, lr=lr))
    system = Tiny()
    enc, dec = system.players().values()
    x = torch.rand(5, 1, 2, 2)
    before = [p.clone() for p in system.parameters()]
    loss = (system.reconstruct(x) - x).square().mean()
    enc.minimize(loss, retain_graph=True)
    assert all(p.grad is None for p in dec.params)
    dec.minimize(loss)  # back through a graph whose encoder has moved
    moved = [not torch.equal(p, q) for p, q in zip(system.parameters(), before, strict=True)]
    assert moved[0] and moved[-1]


def test_minimize_together_is_one_step_on_the_sum(monkeypatch):
    monkeypatch.setattr(Player, "optimizer", lambda params, lr, betas: torch.optim.SGD(params, lr=lr))
    system = Tiny()
    enc, dec = system.players().values()
    x = torch.rand(5, 1, 2, 2)
    for _ in range(2):  # the second starts from clean gradients
        loss = (system.reconstruct(x) - x).square().mean()
        params = enc.params + dec.params
        grads = torch.autograd.grad(loss, params, retain_graph=True)
        want = [p - 0.1 * g for p, g in zip(params, grads, strict=True)]
        enc.minimize(loss, also=[dec])
        torch.testing.assert_close(params, want)


def test_minimize_at_once_takes_all_gradients_before_anyone_moves(monkeypatch):
    monkeypatch.setattr(Player, "optimizer", lambda params, lr, betas: torch.optim.SGD(params, lr=lr))
    system = Tiny()
    enc, dec = system.players().values()
    x = torch.rand(5, 1, 2, 2)
    for _ in range(2):  # the second starts from clean gradients
        loss = (system.reconstruct(x) - x).square().mean()
        want = []
        for player, mine in ((enc, loss), (dec, -loss)):
            grads = torch.autograd.grad(mine, player.params, retain_graph=True)
            want += [p - 0.1 * g for p, g in zip(player.params, grads, strict=True)]
        minimize_at_once((enc, loss), (dec, -loss))
        torch.testing.assert_close(enc.params + dec.params, want)


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)])
def test_step_sizes_are_scaled_from_the_first_one(lr):
    player = Player("enc", [nn.Linear(2, 2)], 0.1)
    player.opt.param_groups[0]["lr"] = lr
    for factor in (0.5, 0.5, 0.25):
        player.scale_lr(factor)
        assert float(player.opt.param_groups[0]["lr"]) == pytest.approx(factor * 0.1)


def test_players_use_adam_as_published():
    opt = Tiny().players()["enc"].opt
    assert type(opt) is torch.optim.Adam
    want = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}
    assert {name: opt.defaults[name] for name in want} == want


def test_arg_carries_its_help():
    @dataclasses.dataclass(frozen=True)
    class C:
        a: int = arg(3, "how many")

    assert C().a == 3 and dataclasses.fields(C)[0].metadata["help"] == "how many"
