// The one header that .cu files include. Under nvcc it is CUDA itself; under a plain C++ compiler the same kernels run
// on the CPU, in the machine of csrc/emulation. Three things are written differently from ordinary CUDA, only these:
//   SHARED_ARRAY(float, tile, [H][W])                     for   __shared__ float tile[H][W]
//   DYNAMIC_SHARED(float, buffer)                         for   extern __shared__ float buffer[]
//   launch(kernel, grid, block, shared, stream, args...)  for   kernel<<<grid, block, shared, stream>>>(args...)
// docs/emulation.md says what else a kernel must keep to.
#pragma once
#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define SHARED_ARRAY(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define DYNAMIC_SHARED(T, name)                                         \
  extern __shared__ __align__(16) unsigned char bigan_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(bigan_dynamic_shared)

namespace bigan {
template <class... P, class... A>
inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, void* stream, A&&... args) {
  kernel<<<grid, block, shared, static_cast<cudaStream_t>(stream)>>>(static_cast<P>(args)...);
  return cudaGetLastError();
}
}  // namespace bigan

#else
#include <tuple>

#include "../emulation/device.h"
#include "../emulation/host_api.h"

// A key for each place and each instantiation of the template around it, as the compiler would allocate the array.
#define SHARED_ARRAY(T, name, ...)    \
  typedef T name##_array __VA_ARGS__; \
  static char name##_key;             \
  name##_array& name = *static_cast<name##_array*>(::emu::shared_array(&name##_key, sizeof(name##_array), #name))
#define DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::emu::dynamic_shared())

namespace bigan {
template <class... P, class... A>
inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, void* /*stream*/, A&&... args) {
  const std::tuple<P...> values(static_cast<P>(args)...);
  const auto body = [&] { std::apply(kernel, values); };
  return std::apply(
      [&](const auto&... value) {
        const void* const pointers[] = {static_cast<const void*>(&value)..., nullptr};
        const std::size_t sizes[] = {sizeof(P)..., 0};
        const int code = ::emu::run({reinterpret_cast<const void*>(kernel), grid, block, shared,
                                     [](const void* context) { (*static_cast<decltype(body)*>(context))(); }, &body,
                                     static_cast<int>(sizeof...(P)), pointers, sizes});
        return ::emu::last_error = static_cast<cudaError_t>(code);
      },
      values);
}
}  // namespace bigan
#endif
