// Barriers, shuffles, votes, warp reductions, fences and atomics.
#pragma once
#include <cstring>
#include <type_traits>

#include "runtime.h"

// ---- block -----------------------------------------------------------------------------------------------------
inline void __syncthreads(EMU_SITE) { emu::block_sync(EMU_HERE); }
inline int __syncthreads_count(int p, EMU_SITE) { return emu::block_sync(EMU_HERE, p); }
inline int __syncthreads_or(int p, EMU_SITE) { return emu::block_sync(EMU_HERE, p) != 0; }
inline int __syncthreads_and(int p, EMU_SITE) { return emu::block_sync(EMU_HERE, p) == static_cast<int>(emu::block_threads()); }
inline void __threadfence() { emu::fence(); }
inline void __threadfence_block() { emu::fence(); }

// ---- warp ------------------------------------------------------------------------------------------------------
inline void __syncwarp(unsigned mask = ~0u, EMU_SITE) { emu::warp_collective(emu::Op::sync, mask, 0, 0, 32, EMU_HERE); }
inline unsigned __ballot_sync(unsigned mask, int p, EMU_SITE) {
  return static_cast<unsigned>(emu::warp_collective(emu::Op::ballot, mask, p != 0, 0, 32, EMU_HERE));
}
inline int __any_sync(unsigned mask, int p, EMU_SITE) {
  return emu::warp_collective(emu::Op::ballot, mask, p != 0, 0, 32, EMU_HERE) != 0;
}
inline int __all_sync(unsigned mask, int p, EMU_SITE) {
  return emu::warp_collective(emu::Op::ballot, mask, p != 0, 0, 32, EMU_HERE) == mask;
}

namespace emu {
template <class T>
T collective(Op op, unsigned mask, T value, int argument, int width, Site site) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t raw = 0;
  std::memcpy(&raw, &value, sizeof value);
  raw = warp_collective(op, mask, raw, argument, width, site);
  std::memcpy(&value, &raw, sizeof value);
  return value;
}
}  // namespace emu

#define EMU_SHUFFLE(NAME, OP)                                                    \
  template <class T>                                                             \
  T NAME(unsigned mask, T value, int argument, int width = 32, EMU_SITE) {       \
    return emu::collective(emu::Op::OP, mask, value, argument, width, EMU_HERE); \
  }
EMU_SHUFFLE(__shfl_sync, shfl)
EMU_SHUFFLE(__shfl_up_sync, shfl_up)
EMU_SHUFFLE(__shfl_down_sync, shfl_down)
EMU_SHUFFLE(__shfl_xor_sync, shfl_xor)

template <class T>
unsigned __match_any_sync(unsigned mask, T value, EMU_SITE) {
  std::uint64_t raw = 0;
  std::memcpy(&raw, &value, sizeof value);
  return static_cast<unsigned>(emu::warp_collective(emu::Op::match, mask, raw, 0, 32, EMU_HERE));
}

#define EMU_REDUCE(NAME, OP)                                                               \
  template <class T>                                                                       \
  T NAME(unsigned mask, T value, EMU_SITE) {                                               \
    static_assert(std::is_integral_v<T> && sizeof(T) == 4);                                \
    const auto wide = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));        \
    return static_cast<T>(emu::warp_collective(emu::Op::OP, mask, wide, 0, 32, EMU_HERE)); \
  }
EMU_REDUCE(__reduce_add_sync, add)
EMU_REDUCE(__reduce_min_sync, min)
EMU_REDUCE(__reduce_max_sync, max)

// ---- atomics: relaxed, as in CUDA ------------------------------------------------------------------------------
namespace emu {
template <class T, class F>
T read_modify_write(T* p, F f) {
  static_assert(std::is_integral_v<T>, "no float atomics: bigan's reductions have a fixed order");
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  before_atomic(p);
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  T next = f(old);
  while (!__atomic_compare_exchange_n(p, &old, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) next = f(old);
  after_atomic(p);
  return old;
}
}  // namespace emu

#define EMU_ATOMIC(NAME, RESULT)                                                       \
  template <class T>                                                                   \
  T NAME(T* p, std::type_identity_t<T> v) {                                            \
    return emu::read_modify_write(p, [v]([[maybe_unused]] T o) { return T(RESULT); }); \
  }
EMU_ATOMIC(atomicAdd, o + v)
EMU_ATOMIC(atomicSub, o - v)
EMU_ATOMIC(atomicMax, o < v ? v : o)
EMU_ATOMIC(atomicMin, v < o ? v : o)
EMU_ATOMIC(atomicAnd, (o & v))
EMU_ATOMIC(atomicOr, o | v)
EMU_ATOMIC(atomicExch, v)
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return emu::read_modify_write(p, [=](T o) { return o == expected ? v : o; });
}
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  return emu::read_modify_write(p, [limit](unsigned o) { return o >= limit ? 0u : o + 1; });
}
