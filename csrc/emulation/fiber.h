// Stackful coroutines: one per CUDA thread of the running block, all on one OS thread.
#pragma once
#include <cstddef>
#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_UCONTEXT 1
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

namespace emu {

// AddressSanitizer's red zones make frames large; pages are committed only when touched.
#ifdef EMU_ASAN
inline constexpr std::size_t kStackBytes = 256 * 1024;
#else
inline constexpr std::size_t kStackBytes = 64 * 1024;
#endif

struct Fiber {
#ifdef EMU_UCONTEXT
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
  char* stack = nullptr;  // lowest byte; null for the scheduler, which runs on the caller's stack
  std::size_t size = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  void* tsan = nullptr;        // ThreadSanitizer's fiber
};

// Makes `fiber` (stack and size set) start at `entry` when it is switched to.
void fiber_reset(Fiber& fiber, void (*entry)());

// Leaves `from`, continues `to`. `last`: `from` never runs again.
void fiber_switch(Fiber& from, Fiber& to, bool last = false);

// Must be the first call of a fiber's entry; `scheduler` learns its own stack from AddressSanitizer.
void fiber_started(Fiber& scheduler);

}  // namespace emu
