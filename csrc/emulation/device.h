// CUDA's device language for a plain C++ compiler: what kernels in csrc/cuda use, no more.
#pragma once
#include <math.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "half.h"
#include "runtime.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define __shared__ static_assert(false, "use SHARED_ARRAY(T, name, [N]) or DYNAMIC_SHARED(T, name)")

#define EMU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define EMU_HERE \
  ::emu::Site { file, line }

#include "collectives.h"
#include "intrinsics.h"
#include "vector_types.h"
