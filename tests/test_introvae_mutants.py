"""Every sign, weight, stop and name of IntroVAE's step matters."""

import pytest
from introvae_comparison import CASES, compare, descend_plainly
from step_mutants import each, kinds, mutants, survivors

from bigan.systems import introvae

METHODS = ("step", "vae_step", "posterior", "kl", "hinge", "sse")
EXCHANGED = {
    "w_rec": ["w_kl", "w_neg"], "w_kl": ["w_rec", "w_neg"], "w_neg": ["w_kl", "w_rec"], "m": ["w_neg"],
    "x_r": ["x_p"], "x_p": ["x_r"], "kl_r": ["kl_p"], "kl_p": ["kl_r"],
    "hinge_r": ["hinge_p"], "hinge_p": ["hinge_r"],
    "rec": ["kl"], "kl": ["rec", "hinge"], "hinge": ["kl"],
    "loss_enc": ["loss_dec"], "loss_dec": ["loss_enc"], "enc": ["dec"], "dec": ["enc"],
    "prior": ["posterior"], '"official"': ['"paper"'], '"mean"': ['"sum"', '"none"'], '"sum"': ['"mean"'],
}  # fmt: skip
GRAPHS = {
    "x_p", "x_r", "z", "kl", "rec", "hinge_r", "hinge_p", "kl_r", "kl_p", "loss", "loss_enc", "loss_dec",
}  # fmt: skip

MUTANTS = mutants(introvae, METHODS, exchanged=EXCHANGED, graphs=GRAPHS)


def test_there_are_mutants_of_every_kind():
    assert kinds(MUTANTS) >= {
        "+ -> -", "* -> /", "/ -> *", "< -> <=", "== -> !=", "0.5 -> 2 * 0.5", "w_rec -> w_kl",
        "w_neg -> w_rec", "m -> w_neg", "detach -> clone", "x_r -> x_r.detach()", "x_p -> x_p.detach()",
        "z -> z.detach()", "rec -> rec.detach()", "kl -> kl.detach()", "x_r -> x_p",
        "enc -> dec", "True -> False",
    }  # fmt: skip
    assert len(MUTANTS) > 100


@pytest.mark.parametrize("function", METHODS)
def test_all_are_caught(function, monkeypatch):
    descend_plainly(monkeypatch)
    found = [mutant for mutant in MUTANTS if mutant.function == function]
    assert survivors(found, each(lambda case: compare(introvae.build, case), CASES)) == []


def test_what_no_comparison_notices_survives():
    assert survivors(MUTANTS[:3], [lambda: None]) == [mutant.name for mutant in MUTANTS[:3]]
