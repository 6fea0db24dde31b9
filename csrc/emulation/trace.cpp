// The ordinary build: the compiler calls these functions before every load and store of a kernel (-fsanitize=thread)
// and where behaviour is undefined (-fsanitize=alignment,bounds,...). The sanitizers' runtimes are neither linked nor
// preloaded: only their instrumentation is used. Here an access to device memory must lie in one tensor, an access to
// shared memory in one array; the bytes of the former are counted.
#ifdef EMU_TRACE
#include <dlfcn.h>

#include "machine.h"

namespace emu {
// "library+0x1234" of the access; the test side turns it into file:line.
static std::string code_address(void* pc) {
  Dl_info info{};
  char text[512];
  dladdr(pc, &info);
  std::snprintf(text, sizeof text, "[%s+%#zx]", info.dli_fname ? info.dli_fname : "?",
                reinterpret_cast<std::size_t>(pc) - reinterpret_cast<std::size_t>(info.dli_fbase) - 1);
  return text;
}

[[noreturn]] static void report(const std::string& what, void* pc) {
  machine.self->site = {nullptr, 0};  // where it last waited is not where it stands
  fail("%s: %s %s", what.c_str(), where(*machine.self).c_str(), code_address(pc).c_str());
  abandon_thread();
}

static std::string sized(const char* verb, std::size_t size) {
  return std::string(verb) + " of " + std::to_string(size) + " bytes";
}

// The tensor that was asked last is asked again, as a rule.
static void count(std::uintptr_t begin, std::uintptr_t end, std::size_t size, bool write) {
  static std::size_t last = 0;
  auto& traffic = machine.traffic;
  if (last >= traffic.size() || traffic[last].begin != begin) {
    for (last = 0; last < traffic.size() && traffic[last].begin != begin;) ++last;
    if (last == traffic.size()) traffic.push_back({begin, end - begin, 0, 0});
  }
  (write ? traffic[last].written : traffic[last].read) += size;
}

static void check_device(std::uintptr_t address, std::size_t size, bool write, void* pc) {
  std::uintptr_t page = (address - machine.arena) / 4096;
  std::uintptr_t begin = machine.begins[page], end = machine.ends[page];
  if (begin <= address && address + size <= end) return count(begin, end, size, write);
  if (begin == end && page) {  // a guard page: of whom?
    --page;
    begin = machine.begins[page], end = machine.ends[page];
  }
  const std::string what = sized(write ? "write" : "read", size);
  if (begin == end) report(what + " in no tensor", pc);
  const bool before = address < begin;
  const std::uintptr_t distance = before ? begin - address : address + size - end;
  report(what + " that reaches " + std::to_string(distance) + " bytes " + (before ? "before the start" : "past the end") +
             " of a tensor of " + std::to_string(end - begin) + " bytes",
         pc);
}

static void check_shared(const char* address, std::size_t size, const char* verb, void* pc) {
  const SharedArray* nearest = nullptr;
  for (unsigned i = 0; i < machine.array_count; ++i) {
    const SharedArray& array = machine.arrays[i];
    if (address < array.memory) continue;
    if (address + size <= array.memory + array.bytes) return;
    if (!nearest || array.memory > nearest->memory) nearest = &array;
  }
  if (!nearest) report(sized(verb, size) + " in shared memory that belongs to no array", pc);
  report(sized(verb, size) + " past the end of shared array '" + nearest->name + "' (" + std::to_string(nearest->bytes) +
             " bytes), at byte " + std::to_string(address - nearest->memory),
         pc);
}

static inline void access(std::uintptr_t address, std::size_t size, bool write, void* pc, bool preempt = true) {
  const auto* p = reinterpret_cast<const char*>(address);
  if (address - machine.arena < machine.arena_bytes) {
    if (!machine.self) {  // a launcher
      fail("host code reads or writes device memory %s", code_address(pc).c_str());
      return;
    }
    check_device(address, size, write, pc);
  } else if (p >= shared_window && p < shared_window + sizeof shared_window && machine.self) {
    check_shared(p, size, write ? "write" : "read", pc);
  } else {
    return;
  }
  if (preempt) maybe_preempt();
}

static void undefined(const void* data, const char* what) {
  struct Location {
    const char* file;
    unsigned line, column;
  };
  const auto& at = *static_cast<const Location*>(data);
  if (machine.self) machine.self->site = {at.file, static_cast<int>(at.line)};
  fail("%s: %s", what, machine.self ? where(*machine.self).c_str() : at.file);
  if (machine.self) abandon_thread();
}

}  // namespace emu

#define EMU_HOOK(NAME, SIZE, WRITE) \
  void __tsan_##NAME##SIZE(std::uintptr_t a) { emu::access(a, SIZE, WRITE, __builtin_return_address(0)); }
#define EMU_HOOKS(SIZE)                 \
  EMU_HOOK(read, SIZE, false)           \
  EMU_HOOK(write, SIZE, true)           \
  EMU_HOOK(unaligned_read, SIZE, false) \
  EMU_HOOK(unaligned_write, SIZE, true)
// The two that read_modify_write (collectives.h) is made of; no other thread comes between them.
#define EMU_ATOMIC_HOOKS(BITS, T)                                                                           \
  T __tsan_atomic##BITS##_load(const volatile T* a, int) {                                                  \
    emu::access(reinterpret_cast<std::uintptr_t>(a), sizeof(T), false, __builtin_return_address(0), false); \
    return __atomic_load_n(a, __ATOMIC_RELAXED);                                                            \
  }                                                                                                         \
  int __tsan_atomic##BITS##_compare_exchange_weak(volatile T* a, T* expected, T value, int, int) {          \
    emu::access(reinterpret_cast<std::uintptr_t>(a), sizeof(T), true, __builtin_return_address(0), false);  \
    return __atomic_compare_exchange_n(a, expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);      \
  }

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_read_range(std::uintptr_t a, std::size_t n) { emu::access(a, n, false, __builtin_return_address(0)); }
void __tsan_write_range(std::uintptr_t a, std::size_t n) { emu::access(a, n, true, __builtin_return_address(0)); }

void __ubsan_handle_type_mismatch_v1(void* d, void*) { emu::undefined(d, "misaligned vector access"); }
void __ubsan_handle_out_of_bounds(void* d, void*) { emu::undefined(d, "array index out of bounds"); }
void __ubsan_handle_shift_out_of_bounds(void* d, void*, void*) { emu::undefined(d, "shift by the width or more"); }
void __ubsan_handle_divrem_overflow(void* d, void*, void*) { emu::undefined(d, "division by zero or overflow"); }
void __ubsan_handle_add_overflow(void* d, void*, void*) { emu::undefined(d, "signed overflow in +"); }
void __ubsan_handle_sub_overflow(void* d, void*, void*) { emu::undefined(d, "signed overflow in -"); }
void __ubsan_handle_mul_overflow(void* d, void*, void*) { emu::undefined(d, "signed overflow in *"); }
void __ubsan_handle_negate_overflow(void* d, void*) { emu::undefined(d, "signed overflow in unary -"); }
void __ubsan_handle_float_cast_overflow(void* d, void*) { emu::undefined(d, "float too large for the integer type"); }

EMU_HOOKS(1)
EMU_HOOKS(2)
EMU_HOOKS(4)
EMU_HOOKS(8)
EMU_HOOKS(16)
EMU_ATOMIC_HOOKS(32, std::uint32_t)
EMU_ATOMIC_HOOKS(64, std::uint64_t)
}
#endif
