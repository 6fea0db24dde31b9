"""Planted bugs in each implementation of each operator, one token each: a sign, an index, a factor.

scripts/mutate_ops.py runs the tests against every one of them.  For an operator's CUDA kernels they are those
of tests/emulation/mutants.py that the ordinary run must notice.  A new operator adds its rows here and there.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "emulation"))

import mutants
from mutants import Mutant

SOURCES = ("cuda", "cpu", "triton")

# operator -> (changed from, to): of csrc/cpu/<operator>.cpp
# fmt: off
CPU: dict[str, list[tuple[str, str]]] = {
    "reparam_kl": [
        ("mu[i] + sigma * static_cast<T>(eps[i])", "mu[i] - sigma * static_cast<T>(eps[i])"),
        ("(a.grad_scale) + b * a.dim + j;", "(a.grad_scale) + b * a.dim;"),
        ("0.5 * sum *", "0.25 * sum *"),
    ],
    "philox_normal": [
        ("words[2][g], words[3][g]}};", "words[2][g], words[2][g]}};"),
        ("eps[4 * g + k] = quarter", "eps[4 * g + 3 - k] = quarter"),
        ("static_cast<uint32_t>(first / 4)", "static_cast<uint32_t>(first / 2)"),
    ],
    "sphere_normalize": [
        ("*xx += squares;", "*xx -= squares;"),
        ("(a.out) + b * a.dim + j;", "(a.out) + b * a.dim;"),
        ("static_cast<T>(xg) * inverse;", "static_cast<T>(xg) / inverse;"),
    ],
    "latent_match": [
        (": -difference_grad<kForm == Form::kL2>(c", ": difference_grad<kForm == Form::kL2>(c"),
        ("row_data<Store>(args.b, row, j)", "row_data<Store>(args.b, row, 0)"),
        ("ab += a[i] * b[i];", "ab += 2 * a[i] * b[i];"),
    ],
    "moment_kl": [
        ("slope[i] * (x[i] - mean[i])", "slope[i] * (x[i] + mean[i])"),
        ("int64_t r = b + 1;", "int64_t r = b + 2;"),
        ("total * a.weight", "total / a.weight"),
    ],
    "logistic_adversarial": [
        ("by_own * own + by_other * other", "by_own * own - by_other * other"),
        ("sums[1] += other_sum", "sums[0] += other_sum"),
        ("sign, logits[i]) ? T(1)", "sign, logits[i]) ? T(2)"),
    ],
    "ternary_adversarial": [
        ("right ? T(1) : T(0)", "right ? T(-1) : T(0)"),
        ("logits[3 * i + 2], &own", "logits[3 * i + 1], &own"),
        ("static_cast<Store*>(g.grad) + 3 * b;", "static_cast<Store*>(g.grad) + 2 * b;"),
    ],
    "minibatch_discrimination": [
        ("by_j[d].v[t] -= by;", "by_j[d].v[t] += by;"),
        ("int64_t j = first + 1;", "int64_t j = first + 2;"),
        ("g_i.v[t] + g_j.v[t];", "2 * g_i.v[t] + g_j.v[t];"),
    ],
    "feature_l2": [
        ("write(pair.grad_b, -c)", "write(pair.grad_b, c)"),
        ("a.pairs[k + 1].first_chunk : a.chunks", "a.pairs[k].first_chunk : a.chunks"),
        ("total += a.pairs[k].weight * value", "total += a.pairs[k].weight + value"),
    ],
    "spectral_sigma": [
        ("sigma = sum / v_length;", "sigma = sum * v_length;"),
        ("factor[row + 3]};", "factor[row + 2]};"),
        ("T(1) / sigma, c,", "T(2) / sigma, c,"),
    ],
    "augment_pair": [
        ("std::fill(to, to + size, shift);", "std::fill(to, to + size, -shift);"),
        ("taps[t] /= total;", "taps[t] *= total;"),
        ("(1.0 - f.d.contrast) * total", "(1.0 + f.d.contrast) * total"),
    ],
    "gather_images": [
        ("      image = image_of(a, b);", "      image = b;"),
        ("plain.mirror = d.mirror;", "plain.mirror = !d.mirror;"),
        ("a.width *= joined;", "a.width += joined;"),
    ],
}

# of kernels/<operator>.py
TRITON: dict[str, list[tuple[str, str]]] = {
    "reparam_kl": [
        ("mu + sigma * eps", "mu - sigma * eps"),
        ("tl.load(rows_ptr + b, mask=b < B,", "tl.load(rows_ptr + b, mask=b < B - 1,"),
        ("kl = 0.5 * tl.sum", "kl = 0.25 * tl.sum"),
    ],
    "philox_normal": [
        ("tl.cast(stream, tl.int64), first,", "tl.cast(-stream, tl.int64), first,"),
        ("first = tl.program_id(1) * BLOCK", "first = tl.program_id(0) * BLOCK"),
        ("out_ptr + row * Z + j, eps,", "out_ptr + row * Z + j, 2 * eps,"),
    ],
    "sphere_normalize": [
        ("(grad - x / norm * along)", "(grad + x / norm * along)"),
        ("x / norm, mask=j < Z)", "x / norm, mask=j < Z - 1)"),
        ("tl.sum(products, axis=0) / norm", "tl.sum(products, axis=0) * norm"),
    ],
    "latent_match": [
        ("by_b = -by_a", "by_b = by_a"),
        ("tl.load(rows_ptr + b, mask=b < B,", "tl.load(rows_ptr + b, mask=b < B - 1,"),
        ("else 2 * d)", "else 3 * d)"),
    ],
    "moment_kl": [
        ("(x - mean[None, :])) / B", "(x + mean[None, :])) / B"),
        ("tl.minimum(B - b0, ROWS)", "tl.minimum(B, ROWS)"),
        ("0.5 * kl, 0.0", "0.25 * kl, 0.0"),
    ],
    "logistic_adversarial": [
        ("by_own * own + by_other * other", "by_own * own - by_other * other"),
        ("total(partial_ptr, 1,", "total(partial_ptr, 0,"),
        ("to_zero = 0.5 * a * a", "to_zero = 2 * a * a"),
    ],
    "ternary_adversarial": [
        ("by_real * -(p1 + p2)", "by_real * (p1 + p2)"),
        ("total(partial_ptr, 4 * k + 1,", "total(partial_ptr, 4 * k + 2,"),
        ("(c0 + c1 + c2) / 3", "(c0 + c1 + c2) / 2"),
    ],
    "minibatch_discrimination": [
        ("total -= tl.sum(weight", "total += tl.sum(weight"),
        ("(i != j)", "(i < j)"),
        ("tl.exp(-tl.sum", "tl.exp(-2 * tl.sum"),
    ],
    "feature_l2": [
        ("by_b_ptr + e, -grad", "by_b_ptr + e, grad"),
        ("mask=p < programs,", "mask=p < programs - 1,"),
        ("tl.sum(acc, axis=0) / count", "tl.sum(acc, axis=0) * count"),
    ],
    "spectral_sigma": [
        ("c -= tl.sum(dot", "c += tl.sum(dot"),
        ("v_ptr + e % N", "v_ptr + e // N"),
        ("square / length", "square * length"),
    ],
    "augment_pair": [
        ("row = row + down", "row = row - down"),
        ("2 * (n - 1) - s) - shift", "2 * (n - 1) - s) + shift"),
        ("taps / tl.sum(taps, axis=0)", "taps * tl.sum(taps, axis=0)"),
    ],
    "gather_images": [
        ("tl.load(index_ptr + b)", "tl.load(index_ptr + 0 * b)"),
        ("mirror = w3.to(tl.int64)", "mirror = w2.to(tl.int64)"),
        (".to(ACC) * SCALE + SHIFT", ".to(ACC) * SCALE - SHIFT"),
    ],
}
# fmt: on

# Where an operator's loops stand in a file of another name.
ELSEWHERE = {
    ("gather_images", "cpu"): "cpu/augment_pair.cpp",
    ("gather_images", "triton"): "kernels/_images.py",
    ("augment_pair", "triton"): "kernels/_images.py",
}


def of(op: str, source: str) -> list[Mutant]:
    """The bugs planted in the operator's implementation for "cuda", "cpu" or "triton"."""
    if source == "cuda":
        planted = [*mutants.KERNELS, *mutants.IMAGES]
        return [m for m in planted if m.name.startswith(f"{op}:") and m.by == "host"]
    table, file = {"cpu": (CPU, f"cpu/{op}.cpp"), "triton": (TRITON, f"kernels/{op}.py")}[source]
    file = ELSEWHERE.get((op, source), file)
    return [Mutant(f"{op} ({source}): {a} -> {b}", file, a, b, by=source) for a, b in table.get(op, [])]
