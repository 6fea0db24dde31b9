#include "fiber.h"

#include <cstdint>

#include "sanitizers.h"

namespace emu {

#ifndef EMU_UCONTEXT
// Saves the callee-saved registers on the current stack, stores rsp in *save, loads the other stack.
__attribute__((naked, noinline)) static void switch_stack(void** /*save*/, void* /*load*/) {
  asm volatile(
      "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
      "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
      "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret");
}
#endif

void fiber_reset(Fiber& fiber, void (*entry)()) {
#ifdef EMU_ASAN
  __asan_unpoison_memory_region(fiber.stack, fiber.size);
#endif
  fiber.fake_stack = nullptr;
#ifdef EMU_UCONTEXT
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = fiber.size;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#else
  const auto top = (reinterpret_cast<std::uintptr_t>(fiber.stack) + fiber.size) & ~std::uintptr_t{63};
  auto** p = reinterpret_cast<void**>(top);
  *--p = nullptr;  // a return address for entry; with it rsp % 16 == 8 on entry, as the ABI wants
  *--p = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--p = nullptr;  // rbp rbx r12 r13 r14 r15
  fiber.stack_pointer = p;
#endif
}

void fiber_switch(Fiber& from, Fiber& to, [[maybe_unused]] bool last) {
#ifdef EMU_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.stack, to.size);
#endif
#ifdef EMU_TSAN
  __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef EMU_UCONTEXT
  swapcontext(&from.context, &to.context);
#else
  switch_stack(&from.stack_pointer, to.stack_pointer);
#endif
#ifdef EMU_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void fiber_started([[maybe_unused]] Fiber& scheduler) {
#ifdef EMU_ASAN
  const void* bottom = nullptr;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &scheduler.size);
  scheduler.stack = const_cast<char*>(static_cast<const char*>(bottom));
#endif
}

}  // namespace emu
