// What the three builds of the emulation differ in. Exactly one of these is defined by tests/emulation/build.py:
//   EMU_TRACE  kernels are compiled so that every load and store calls trace.cpp (bounds, bytes, undefined behaviour)
//   EMU_ASAN   kernels are compiled with AddressSanitizer and UBSan
//   EMU_TSAN   kernels are compiled with ThreadSanitizer
// The runtime itself (csrc/emulation/*.cpp) is never instrumented: it is the machine, not the program.
#pragma once
#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMU_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif

namespace emu {

// While one lives, ThreadSanitizer ignores what the running thread does inside intercepted libc calls
// (malloc, memset): the runtime's own work is not the kernel's.
struct TsanIgnore {
#ifdef EMU_TSAN
  TsanIgnore() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~TsanIgnore() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  ~TsanIgnore() {}  // user-provided, so that the unused variable raises no warning
#endif
  TsanIgnore(const TsanIgnore&) = delete;
#ifndef EMU_TSAN
  TsanIgnore() {}
#endif
};

// Happens-before edges for ThreadSanitizer; nothing elsewhere.
inline void tsan_release([[maybe_unused]] void* address) {
#ifdef EMU_TSAN
  __tsan_release(address);
#endif
}
inline void tsan_acquire([[maybe_unused]] void* address) {
#ifdef EMU_TSAN
  __tsan_acquire(address);
#endif
}

}  // namespace emu
