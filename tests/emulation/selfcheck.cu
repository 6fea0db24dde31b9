// Exercises the device language itself: the host machine and the interpreted PTX of nvcc must agree, bit for bit in
// `words`, within a few ulp in `floats` and `doubles` (mathematical functions).
#include <initializer_list>

#include "../../csrc/cuda/common.cuh"

namespace selfcheck {
constexpr unsigned kAll = 0xFFFFFFFFu;

struct Out {  // row k of each holds the k-th result of every thread
  unsigned* words;
  float* floats;
  double* doubles;
};

__global__ void warps(const unsigned* in, Out out) {
  const unsigned t = threadIdx.x + blockIdx.x * blockDim.x, n = blockDim.x * gridDim.x, x = in[t];
  int k = 0;
  auto put = [&](unsigned v) { out.words[k++ * n + t] = v; };
  for (int w = 32; w >= 4; w /= 2) {
    put(__shfl_sync(kAll, x, x & 63, w));
    put(__shfl_sync(kAll, x, 3, w));
    put(__shfl_up_sync(kAll, x, 3, w));
    put(__shfl_down_sync(kAll, x, 5, w));
    put(__shfl_xor_sync(kAll, x, 1, w));
    put(__shfl_xor_sync(kAll, x, 17, w));
  }
  const unsigned odd = 0xAAAAAAAAu;
  if (threadIdx.x & 1) {
    put(__shfl_down_sync(odd, x, 2));
    put(__ballot_sync(odd, x & 4));
  } else {
    put(__shfl_up_sync(~odd, x, 2));
    put(__ballot_sync(~odd, x & 8));
  }
  __syncwarp();
  put(__ballot_sync(kAll, x & 1));
  put(__any_sync(kAll, x % 37 == 0));
  put(__all_sync(kAll, x % 3 != 0));
  put(__reduce_add_sync(kAll, x));
  put(__reduce_min_sync(kAll, x));
  put(__reduce_max_sync(kAll, x));
  put(__reduce_max_sync(kAll, static_cast<int>(x)));
  put(__syncthreads_count(x & 1));
  put(__syncthreads_or(x == 0));
  put(__syncthreads_and(x != 0));
  const double wide = __shfl_xor_sync(kAll, static_cast<double>(x) * 1e9, 7);
  put(static_cast<unsigned>(static_cast<unsigned long long>(wide) >> 7));
}

__global__ void integers(const unsigned* in, Out out, unsigned* cells) {
  const unsigned t = threadIdx.x + blockIdx.x * blockDim.x, n = blockDim.x * gridDim.x, x = in[t];
  int k = 0;
  auto put = [&](unsigned v) { out.words[k++ * n + t] = v; };
  const int s = static_cast<int>(x);
  put(__umulhi(x, 0xD2511F53u));
  put(__popc(x));
  put(__ffs(s));
  put(__clz(s));
  put(x >> (x & 31));
  put(s >> (x & 31));
  put(x / (x % 1000 + 1));
  put(s / static_cast<int>(x % 1000 + 1));
  put(s % 77);
  put(s % -77);
  const unsigned long long y = static_cast<unsigned long long>(x) * x * 3 + t;
  put(static_cast<unsigned>(y >> 17));
  put(static_cast<unsigned>(y % 1000003));
  put(static_cast<unsigned>(static_cast<long long>(y) / -1000003));
  put(max(s, -5));
  put(min(x, 123456u));
  atomicAdd(cells + blockIdx.x, x);
  atomicMax(cells + 64 + blockIdx.x, x);
  atomicMin(cells + 128 + blockIdx.x, x);
  SHARED_ARRAY(unsigned, sums, [2]);
  if (threadIdx.x < 2) sums[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(&sums[x & 1], x >> 3);
  __syncthreads();
  put(sums[0]);
  put(sums[1]);
}

__global__ void conversions(const unsigned* in, Out out) {
  const unsigned t = threadIdx.x + blockIdx.x * blockDim.x, n = blockDim.x * gridDim.x, x = in[t];
  int k = 0;
  auto put = [&](float v) { out.words[k++ * n + t] = __float_as_uint(v); };
  const float f = static_cast<float>(static_cast<int>(x)) * 1e-7f, a = fabsf(f);
  __nv_bfloat16 b;
  __half h;
  for (float scale : {1.f, 1e-6f, 3e2f, 3e36f}) {  // normal, subnormal half, half's limit, bfloat16's limit
    bigan::from_acc(f * scale, &b);
    bigan::from_acc(f * scale, &h);
    put(bigan::to_acc(b));
    put(bigan::to_acc(h));
  }
  put(f * 1.7f);
  put(f / 3.3f);
  put(sqrtf(a));
  put(fmaf(f, 1.1f, -f));
  put(static_cast<float>(static_cast<int>(f)));
  put(rintf(f));
  put(floorf(f));
  put(fmaxf(f, -0.25f));
  put(static_cast<float>(static_cast<double>(f) * 1.1));
  put(static_cast<float>(sqrt(static_cast<double>(a))));
  put(static_cast<float>(static_cast<double>(f) / 3.3));
  put(static_cast<float>(fma(static_cast<double>(f), 1.1, -static_cast<double>(f))));
}

__global__ void functions(const unsigned* in, Out out) {
  const unsigned t = threadIdx.x + blockIdx.x * blockDim.x, n = blockDim.x * gridDim.x, x = in[t];
  int k = 0;
  auto put = [&](float v) { out.floats[k++ * n + t] = v; };
  const float f = static_cast<float>(static_cast<int>(x)) * 1e-7f, a = fabsf(f);
  float s, c;
  put(expf(f * 0.1f));
  put(logf(a + 1e-6f));
  put(rsqrtf(a + 1e-3f));
  put(exp2f(f * 0.1f));
  put(log1pf(a));
  put(expm1f(f * 0.01f));
  put(tanhf(f * 0.02f));
  put(1.f / (a + 1.f));
  sincospif(f, &s, &c);
  put(s);
  put(c);
  put(powf(a + 0.5f, 1.7f));
  put(sinf(f * 0.01f));
  put(erff(f * 0.01f));
  k = 0;
  auto put_double = [&](double v) { out.doubles[k++ * n + t] = v; };
  const double d = static_cast<double>(f) * 0.1;
  put_double(exp(d));
  put_double(log(static_cast<double>(a) + 1e-9));
  put_double(log1p(static_cast<double>(a)));
  put_double(rsqrt(static_cast<double>(a) + 1e-3));
  put_double(tanh(d));
}

}  // namespace selfcheck

using bigan::launch;

extern "C" int selfcheck_instructions(const unsigned* in, unsigned* words, float* floats, double* doubles, unsigned* cells,
                                      int which, int blocks) {
  const selfcheck::Out out{words, floats, doubles};
  switch (which) {
    case 0: return launch(selfcheck::warps, blocks, 128, 0, nullptr, in, out);
    case 1: return launch(selfcheck::integers, blocks, 128, 0, nullptr, in, out, cells);
    case 2: return launch(selfcheck::conversions, blocks, 128, 0, nullptr, in, out);
    default: return launch(selfcheck::functions, blocks, 128, 0, nullptr, in, out);
  }
}

#ifndef __CUDACC__  // host code over host memory: the conversions of csrc/emulation/half.h
extern "C" void selfcheck_narrow(const float* in, __nv_bfloat16* bf16, __half* half, int64_t n) {
  for (int64_t i = 0; i < n; ++i) bf16[i] = __float2bfloat16_rn(in[i]), half[i] = __float2half_rn(in[i]);
}
extern "C" void selfcheck_widen(const uint16_t* bits, float* bf16, float* half, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    bf16[i] = __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(bits)[i]);
    half[i] = __half2float(reinterpret_cast<const __half*>(bits)[i]);
  }
}
#endif
