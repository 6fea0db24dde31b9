// Shared memory, new for every block, and the memory model's fences.
#include <cstdlib>
#include <cstring>

#include "machine.h"

namespace emu {

alignas(64) char shared_window[512 * 1024];
static constexpr std::size_t kGap = 64;
static std::size_t window_used = 0;

static char* take(std::size_t bytes) {
#ifdef EMU_TSAN  // the same memory in the next block would be a race to it; a new allocation is not
  TsanIgnore ignore;
  return static_cast<char*>(std::aligned_alloc(64, (bytes + kGap + 63) / 64 * 64));
#else
  char* memory = shared_window + window_used;
  window_used += (bytes + kGap + 63) / 64 * 64;
  return memory;
#endif
}

static SharedArray& add(const void* key, std::size_t bytes, const char* name) {
  SharedArray& array = machine.arrays[machine.array_count++];
  array = {key, take(bytes), bytes, name};
#ifdef EMU_ASAN
  __asan_unpoison_memory_region(array.memory, bytes);
#endif
  TsanIgnore ignore;
  std::memset(array.memory, 0xFF, bytes);
  return array;
}

void* shared_array(const void* key, std::size_t bytes, const char* name) {
  Machine& m = machine;
  std::size_t total = bytes;
  for (unsigned i = 0; i < m.array_count; ++i) {
    if (m.arrays[i].key == key) return m.arrays[i].memory;
    if (m.arrays[i].memory != m.dynamic) total += m.arrays[i].bytes;
  }
  if (m.array_count == kArrays || total > kStaticSharedLimit) {
    fail("shared array '%s': %u arrays of %zu bytes together, at most %u and %zu", name, m.array_count + 1, total, kArrays,
         kStaticSharedLimit);
    abandon_thread();
  }
  return add(key, bytes, name).memory;
}

void* dynamic_shared() {
  Machine& m = machine;
  if (!m.dynamic && m.launch->shared_bytes) m.dynamic = add(&m.dynamic, m.launch->shared_bytes, "dynamic").memory;
  return m.dynamic;
}

void release_shared_arrays() {
#ifdef EMU_TSAN
  TsanIgnore ignore;
  for (unsigned i = 0; i < machine.array_count; ++i) std::free(machine.arrays[i].memory);
#endif
#ifdef EMU_ASAN
  __asan_poison_memory_region(shared_window, sizeof shared_window);
#endif
  machine.array_count = 0;
  machine.dynamic = nullptr;
  window_used = 0;
}

// An atomic after __threadfence() publishes what its thread wrote before the fence; a __threadfence() after an atomic
// receives what was published at the addresses this thread has touched. Slightly lenient: writes between the fence and
// the atomic count as published too.
void fence() {
  Thread& self = *machine.self;
  for (int i = 0; i < self.seen_count; ++i) tsan_acquire(self.seen[i]);
  self.seen_count = 0;
  self.fenced = true;
}

void before_atomic(void* address) {
  maybe_preempt();
  if (machine.self && machine.self->fenced) tsan_release(address);
}

void after_atomic(void* address) {
  Thread* self = machine.self;
  if (!self) return;
  constexpr int kSeen = sizeof self->seen / sizeof *self->seen;
  if (self->seen_count == kSeen) {  // forget the oldest
    for (int i = 1; i < kSeen; ++i) self->seen[i - 1] = self->seen[i];
    --self->seen_count;
  }
  self->seen[self->seen_count++] = address;
}

}  // namespace emu
