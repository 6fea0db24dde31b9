"""Planted bugs: one change each to a kernel or to what kernels share, and where it must be noticed.

`by` names the check that must fail: "host" (the ordinary run: values, bounds, schedules), "asan", "tsan" or
"ptx"; most bugs are seen by several, scripts/emulation_mutants.py tells by which. A change that no longer
applies to its source is an error: keep the list with the kernels, and add to it the bugs found by hand.
tests/op_mutants.py has those of the C++ and the Triton kernels.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import emu_build


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str  # in csrc/, or kernels/...
    old: str
    new: str
    tests: str = "tests/emulation/test_helpers.py"
    select: str = ""  # pytest -k
    by: str = "host"

    def plant(self, into: Path) -> Path:
        """A copy of the sources with this bug; returns `into`."""
        copy_sources(into)
        path = into / (self.file if self.file.startswith("kernels/") else f"csrc/{self.file}")
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {text.count(self.old)} places in {self.file} to change, not 1")
        path.write_text(text.replace(self.old, self.new))
        return into


def copy_sources(into: Path) -> None:
    for folder in ("csrc", "kernels", "tests/emulation"):
        shutil.copytree(emu_build.ROOT / folder, into / folder, ignore=shutil.ignore_patterns("__pycache__"))


# fmt: off
C = "cuda/common.cuh"
HELPERS = [
    Mutant("sum: no barrier before the partial sums are read", C,
           "partial[warp] = v;\n  __syncthreads();", "partial[warp] = v;"),
    Mutant("sum: no barrier after an earlier call's reads", C,
           "  __syncthreads();  // an earlier call's readers are done\n", "", by="tsan"),
    Mutant("sum: one level of the tree missing", C, "int d = 16; d > 0", "int d = 16; d > 1"),
    Mutant("sum: wrong lane", C, "(0xFFFFFFFFu, v, d)", "(0xFFFFFFFFu, v, d - 1)"),
    Mutant("sum: half a mask", C, "(0xFFFFFFFFu, v, d)", "(0x0000FFFFu, v, d)"),
    Mutant("sum: one warp too many", C, "lane < kWarps ?", "lane <= kWarps ?"),
    Mutant("sum: shared array too small", C,
           "SHARED_ARRAY(T, partial, [kWarps]);", "SHARED_ARRAY(T, partial, [kWarps - 1]);"),
    Mutant("sum: early exit before the barrier", C,
           "  __syncthreads();  // an ea", "  if (lane == 31) return v;\n  __syncthreads();  // an ea"),
    Mutant("read: off by one at the end of a row", C, "v[i] = i < left ?", "v[i] = i <= left ?"),
    Mutant("read: vectors past the end", C,
           "  if (vector && left >= 4) {\n    load4", "  if (vector) {\n    load4"),
    Mutant("write: off by one at the end of a row", C, "if (i < left) from_acc", "if (i <= left) from_acc"),
    Mutant("vectors at any address", C,
           "return reinterpret_cast<size_t>(p) % kVectorBytes<T> == 0;", "return p != nullptr;"),
    Mutant("vectors with any stride", C,
           "&& stride * sizeof(T) % kVectorBytes<T> == 0;", "&& stride >= 0;"),
    Mutant("bfloat16: halves of a word swapped", C,
           "v[0] = __uint_as_float(q.x << 16), v[1] = __uint_as_float(q.x & 0xFFFF0000u);",
           "v[1] = __uint_as_float(q.x << 16), v[0] = __uint_as_float(q.x & 0xFFFF0000u);"),
    Mutant("double: the first pair twice", C, "(p) + 1);", "(p) + 0);"),
    Mutant("last block: no barrier before the ticket is read", C,
           "  }\n  __syncthreads();\n  return arrived[0]", "  }\n  return arrived[0]"),
    Mutant("last block: no fence before the ticket", C,
           "    __threadfence();  // the results before the ticket\n", "", by="tsan"),
    Mutant("last block: no fence after the ticket", C,
           "    __threadfence();  // the ticket before the others' results\n", "", by="tsan"),
    Mutant("last block: ticket without an atomic", C, "atomicAdd(ticket, 1u)", "(*ticket)++", by="tsan"),
    Mutant("last block: counts one too far", C, "arrived[0] == blocks - 1;", "arrived[0] == blocks;"),
]

OPERATORS = "tests/emulation/test_operators.py"
L, S, SH = "cuda/feature_l2.cu", "cuda/spectral_sigma.cu", "include/spectral_sigma.h"
R, RH, N, PH = "cuda/reparam_kl.cu", "include/reparam_kl.h", "cuda/philox_normal.cu", "include/philox.h"
KERNELS = [
    Mutant("philox_normal: threads past the end", N,
           "if (i >= a.batch * groups) return;", "if (i > a.batch * groups) return;", OPERATORS),
    Mutant("philox_normal: group and row exchanged", N,
           "row = i / groups, group = i % groups", "row = i % groups, group = i / groups", OPERATORS),
    Mutant("philox_normal: one group too few", N, "(a.dim + 3) / 4;", "a.dim / 4;", OPERATORS),
    Mutant("philox: nine rounds", PH, "round < 10", "round < 9", OPERATORS),
    Mutant("philox: the sample id ignored", PH, "{{group, key.sample,", "{{group, 0u,", OPERATORS),
    Mutant("reparam_kl: a row past the last", R,
           "present = row < a.batch;", "present = row <= a.batch;", OPERATORS),
    Mutant("reparam_kl: rows past the last leave before the barrier", R,
           "  if (present) {\n", "  if (!present) return;\n  {\n", OPERATORS),
    Mutant("reparam_kl: long rows summed by warps", R,
           "kWarpRow ? warp_sum(sum) : block_sum<kThreads>(sum)",
           "kWarpRow ? warp_sum(sum) : warp_sum(sum + 0)", OPERATORS),
    Mutant("reparam_kl: groups overlap", R,
           "write4(static_cast<T*>(a.z) + row * a.dim + j, a.dim - j",
           "write4(static_cast<T*>(a.z) + row * a.dim + j, a.dim - j + 1", OPERATORS),
    Mutant("reparam_kl: 32-bit offset", R,
           "static_cast<T*>(a.z) + row * a.dim + j",
           "static_cast<T*>(a.z) + static_cast<int>(row) * static_cast<int>(a.dim) + j", OPERATORS),
    Mutant("reparam_kl: every lane writes the row's value", R,
           "if (present && lane == 0)", "if (present)", OPERATORS, "schedule", by="tsan"),
    Mutant("reparam_kl: every thread writes the loss", R,
           "  if (threadIdx.x == 0) *static_cast<A*>(a.loss) = finish_loss",
           "  *static_cast<A*>(a.loss) = finish_loss", OPERATORS, "schedule", by="tsan"),
    Mutant("reparam_kl: every block adds up the rows", R,
           "(!a.ticket || !is_last_block(a.ticket)) {", "(!a.ticket) {", OPERATORS, "schedule", by="tsan"),
    Mutant("reparam_kl: ticket not zeroed", R, "  if (a.ticket) {\n", "  if (false) {\n", OPERATORS),
    Mutant("reparam_kl: half a KL", R, "A kl = A(0.5) * sum;", "A kl = A(0.25) * sum;", OPERATORS),
    Mutant("reparam_kl: sign of the noise", R,
           "eps[i] = mu[i] + sigma[i] * eps[i];", "eps[i] = mu[i] - sigma[i] * eps[i];", OPERATORS),
    Mutant("reparam_kl: gradients exchanged", R, "&d_mu[i], &d_scale[i]", "&d_scale[i], &d_mu[i]", OPERATORS),
    Mutant("reparam_kl: gradient of the next element", R, "c, mu[i], exp_", "c, mu[i ^ 1], exp_", OPERATORS),
    Mutant("reparam_kl: hinge open where it is closed", RH,
           "return gap < T(0) ? T(0) : gap;", "return gap < T(-9) ? T(0) : gap;", OPERATORS),
    Mutant("feature_l2: a pair's chunks counted from the first pair's", L,
           "*begin = (int64_t{blockIdx.x} - pair.first_chunk) * args.chunk;",
           "*begin = int64_t{blockIdx.x} * args.chunk;", OPERATORS, "feature_l2"),
    Mutant("feature_l2: the last chunk as long as the others", L,
           "left < args.chunk ?", "left > args.chunk ?", OPERATORS, "feature_l2"),
    Mutant("feature_l2: a pair's value lacks its last chunk", L,
           "c < end; c += 32", "c + 1 < end; c += 32", OPERATORS, "feature_l2"),
    Mutant("feature_l2: only two pairs are added up", L,
           "k < a.number; k += kThreads / 32", "k < 2; k += kThreads / 32", OPERATORS, "feature_l2"),
    Mutant("feature_l2: no barrier before the pairs are added up", L,
           "__syncthreads();\n  if (threadIdx.x == 0) {\n    A* total",
           "if (threadIdx.x == 0) {\n    A* total", OPERATORS, "feature_l2"),
    Mutant("feature_l2: the first launch's total forgotten", L,
           "A all = a.more ? *total : A(0);", "A all = 0;", OPERATORS, "more_pairs"),
    Mutant("feature_l2: b's gradient has a's sign", L,
           "a[i] = -a[i];", "a[i] = +a[i];", OPERATORS, "feature_l2"),
    Mutant("spectral_sigma: a tile's rows start one late", S,
           "r = warp; r < l.rows", "r = warp + 1; r < l.rows", OPERATORS, "spectral_sigma"),
    Mutant("spectral_sigma: runs of columns one row apart", SH,
           "(int64_t{run} * l.rows + row) * l.inner", "(int64_t{run} + row) * l.inner", OPERATORS, "spectral_sigma"),
    Mutant("spectral_sigma: columns in the order of memory", SH,
           "l.channels == 1 ? col :", "l.channels != 0 ? col :", OPERATORS, "many_blocks"),
    Mutant("spectral_sigma: v not divided by its length", S,
           "v[c] = __ldcg(v + c) / v_length;", "v[c] = __ldcg(v + c);", OPERATORS, "spectral_sigma"),
    Mutant("spectral_sigma: no barrier before the warps' sums are added up", S,
           "= sums[i];\n  __syncthreads();", "= sums[i];", OPERATORS, "spectral_sigma"),
    Mutant("spectral_sigma: one ticket for all layers", S,
           "is_last_block(a.tickets + k, tiles)", "is_last_block(a.tickets, tiles)", OPERATORS, "spectral_sigma"),
    Mutant("spectral_sigma: tickets not zeroed", S,
           "cudaMemsetAsync(a.tickets, 0, a.number * sizeof", "cudaMemsetAsync(a.tickets, 0, 0 * sizeof",
           OPERATORS, "spectral_sigma"),
    Mutant("spectral_sigma: gradient lacks the part of the norm", SH,
           "by_sigma - dot / (sigma * sigma)", "by_sigma - dot * 0 * sigma", OPERATORS, "spectral_sigma"),
]

S, M, K = "cuda/sphere_normalize.cu", "cuda/latent_match.cu", "cuda/moment_kl.cu"
L, T = "cuda/logistic_adversarial.cu", "cuda/ternary_adversarial.cu"
KERNELS += [
    Mutant("sphere_normalize: squares subtracted", S,
           "xx += x[i] * x[i];\n      if (k", "xx -= x[i] * x[i];\n      if (k", OPERATORS, "sphere"),
    Mutant("sphere_normalize: elements of a group reversed", S,
           "x[i] = kept_x[k][i],", "x[i] = kept_x[k][3 - i],", OPERATORS, "sphere"),
    Mutant("sphere_normalize: divided for multiplied", S,
           "row_sum<kWarpRow>(xg) * inverse;", "row_sum<kWarpRow>(xg) / inverse;", OPERATORS, "sphere"),
    Mutant("sphere_normalize: the rest of a long row", S,
           "if (k < 0) read4(x_row + j, a.dim", "if (k > 0) read4(x_row + j, a.dim", OPERATORS, "sphere"),
    Mutant("latent_match: b moves with a", M,
           "by_b[i] = -by_a[i];", "by_b[i] = by_a[i];", OPERATORS, "latent"),
    Mutant("latent_match: elements of a group reversed", M,
           "sum->ab += a[i] * b[i];", "sum->ab += a[i] * b[3 - i];", OPERATORS, "latent"),
    Mutant("latent_match: one norm for both", M,
           "ab * inverse_a * inverse_b;", "ab * inverse_a * inverse_a;", OPERATORS, "latent"),
    Mutant("latent_match: ticket not zeroed", M,
           "cudaMemsetAsync(a.ticket, 0, ", "cudaMemsetAsync(a.ticket, 1, ", OPERATORS, "latent"),
    Mutant("moment_kl: slope with the wrong sign", K,
           "constant + grad[i].slope", "constant - grad[i].slope", OPERATORS, "moment"),
    Mutant("moment_kl: the first chunk left out", K,
           "int64_t c = 0; c", "int64_t c = 1; c", OPERATORS, "moment"),
    Mutant("moment_kl: sum and mean exchanged", K,
           "total * static_cast<A>(a.weight)", "total / static_cast<A>(a.weight)", OPERATORS, "moment"),
    Mutant("moment_kl: a row too many in a chunk", K,
           "(rows - w + kWarps - 1) / kWarps)", "(rows - w + kWarps) / kWarps)", OPERATORS, "moment"),
    Mutant("logistic_adversarial: sign of the other loss", L,
           "by_own * own + by_other * other", "by_own * own - by_other * other", OPERATORS, "logistic"),
    Mutant("logistic_adversarial: sums exchanged", L,
           "sums[3 * group + 1] += other;", "sums[3 * group + 2] += other;", OPERATORS, "logistic"),
    Mutant("logistic_adversarial: counted twice", L,
           "v[i]) ? A(1) : A(0)", "v[i]) ? A(2) : A(0)", OPERATORS, "logistic"),
    Mutant("logistic_adversarial: zeros past the end are losses", L,
           "if (e + i >= g.count) break;", "if (e + i > g.count) break;", OPERATORS, "logistic"),
    Mutant("ternary_adversarial: wrong ones counted", T,
           "right ? A(1) : A(0)", "right ? A(-1) : A(0)", OPERATORS, "ternary"),
    Mutant("ternary_adversarial: sums exchanged", T,
           "sums[4 * kGroup + 1] += to_real;", "sums[4 * kGroup + 2] += to_real;", OPERATORS, "ternary"),
    Mutant("ternary_adversarial: two logits a row", T,
           "3 * g.count, vector, v[i])", "2 * g.count, vector, v[i])", OPERATORS, "ternary"),
    Mutant("ternary_adversarial: rows past the end are losses", T,
           "if (b + i >= g.count) break;", "if (b + i > g.count) break;", OPERATORS, "ternary"),
]
D, DH = "cuda/minibatch_discrimination.cu", "include/minibatch_discrimination.h"
ONE = "minibatch"
KERNELS += [
    Mutant("minibatch_discrimination: a sample counts itself", D,
           "other < a.batch && other != i ?", "other < a.batch ?", OPERATORS, ONE),
    Mutant("minibatch_discrimination: samples past the last", D,
           "other < a.batch && other != i ?", "other != i ?", OPERATORS, ONE),
    Mutant("minibatch_discrimination: the first tile alone", D,
           "n < count; ++n) f(", "n < 1; ++n) f(", OPERATORS, ONE),
    Mutant("minibatch_discrimination: dimension and kernel exchanged", D,
           "for (int i = 0; i < 4; ++i) x[row][(at + i) % w][(at + i) / w] = v[i];",
           "for (int i = 0; i < 4; ++i) x[row][(at + i) / w][(at + i) % w] = v[i];", OPERATORS, ONE),
    Mutant("minibatch_discrimination: no barrier before a tile is read", D,
           "chunk, x);\n    __syncthreads();", "chunk, x);", OPERATORS, ONE),
    Mutant("minibatch_discrimination: no barrier before a tile is overwritten", D,
           "    __syncthreads();  // earlier readers are done\n", "", OPERATORS, ONE, by="tsan"),
    Mutant("minibatch_discrimination: one upstream gradient of two", D,
           "(own_g + g[j][p.k]) * c[j]", "(own_g + own_g) * c[j]", OPERATORS, ONE),
    Mutant("minibatch_discrimination: gradient of another chunk", D,
           "(p.chunk + n) % count", "(p.chunk + n - 1) % count", OPERATORS, ONE),
    Mutant("minibatch_discrimination: opposite gradient", DH,
           "(a < b ? T(1) : T(0)) - (a > b", "(a > b ? T(1) : T(0)) - (a < b", OPERATORS, ONE),
]
AU, AH = "cuda/images.cuh", "include/augment.h"
ONLY = {"tests": OPERATORS, "select": "(augment_pair or gather_images or clamped) and not second"}
IMAGES = [
    Mutant("augment_pair: the next element is read", AU,
           "s.row, s.column)) * scale + shift;", "s.row, s.column) + 1) * scale + shift;", **ONLY),
    Mutant("augment_pair: two threads write one place", AU,
           "down.own, right.padding), padding);", "down.own, right.own), padding);", **ONLY),
    Mutant("augment_pair: elements past the image", AU,
           "a.contrasted || a.elements - begin < kImageTile ? a.elements : begin + kImageTile",
           "a.contrasted ? a.elements : begin + kImageTile", **ONLY),
    Mutant("augment_pair: taps are read before they are there", AU,
           "t - radius) / total;\n  }\n  __syncthreads();", "t - radius) / total;\n  }", **ONLY),
    Mutant("augment_pair: a mean without its edges", AU,
           "tap_sum(taps, radius, row, a.height)", "tap_sum(taps, radius, row, a.height + 9)", **ONLY),
    Mutant("augment_pair: gradient of the reflected row forgotten", AU,
           "row = v ? down.padding : down.own", "row = v ? -1 : down.own", **ONLY),
    Mutant("augment_pair: reflected about the edge", AH,
           "return i < n ? i : 2 * (n - 1) - i;", "return i < n ? i : 2 * n - 1 - i;", **ONLY),
    Mutant("augment_pair: offset not clamped", AH, "offset > 2 * pad ? 2 * pad : offset)", "offset)", **ONLY),
    Mutant("gather_images: the index of another sample", AH,
           "const int64_t i = a.index[b];", "const int64_t i = a.index[0];", **ONLY),
    Mutant("gather_images: another word for the mirror", AH,
           "d.mirror = w.word[3] <", "d.mirror = w.word[2] <", **ONLY),
    Mutant("gather_images: mirrored about the wrong column", AU,
           "channel, row, d.mirror ? a.width - 1 - column : column));",
           "channel, row, d.mirror ? a.width - 2 - column : column));", **ONLY),
    Mutant("gather_images: index not clamped", AH, "i >= a.images ? a.images - 1 : i;", "i;", **ONLY),
]
# fmt: on

ALL = HELPERS + KERNELS + IMAGES
