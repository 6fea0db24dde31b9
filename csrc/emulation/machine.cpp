// State, failures, and the C functions by which a test controls the machine.
#include "machine.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emu {

Machine machine;

void fail(const char* format, ...) {
  TsanIgnore ignore;
  if (machine.error == kLaunchFailure) return;
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  machine.error = kLaunchFailure;
  machine.error_text = text;
}

std::string where(const Thread& t) {
  TsanIgnore ignore;
  char text[512];
  std::snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, t.index.x,
                t.index.y, t.index.z);
  std::string out = text;
  if (t.site.file) out += std::string(" at ") + t.site.file + ":" + std::to_string(t.site.line);
  return out;
}

const char* name_of(Op op) {
  constexpr const char* names[] = {
      "__syncwarp", "__shfl_sync",      "__shfl_up_sync",    "__shfl_down_sync",  "__shfl_xor_sync",
      "vote",       "__match_any_sync", "__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync"};
  return names[static_cast<int>(op)];
}

std::uint32_t next_random() {  // xorshift64
  auto& r = machine.random;
  r ^= r << 13;
  r ^= r >> 7;
  r ^= r << 17;
  return static_cast<std::uint32_t>(r >> 32);
}

void yield_to_scheduler(bool last) { fiber_switch(machine.self->fiber, machine.scheduler, last); }

void abandon_thread() {
  yield_to_scheduler(true);
  __builtin_unreachable();
}

void maybe_preempt() {
  if (machine.schedule != Schedule::random || !machine.self || next_random() % 8 != 0) return;
  machine.self->state = State::ready;
  yield_to_scheduler();
}

const char* last_error_text() { return machine.error_text.c_str(); }

}  // namespace emu

extern "C" {

const char* emu_error() { return emu::machine.error_text.c_str(); }

void emu_set_error(const char* text) {
  emu::machine.error = emu::kLaunchFailure;
  emu::machine.error_text = text;
}

// A launch failure is sticky, as on a GPU: every later launch fails until the error is cleared.
void emu_clear_error() {
  emu::machine.error = emu::kSuccess;
  emu::machine.error_text.clear();
}

void emu_schedule(int schedule, std::uint64_t seed) {
  emu::machine.schedule = static_cast<emu::Schedule>(schedule);
  emu::machine.random = seed * 2 + 1;
}

// Of each grid only the last blocks run: one over 2^32 elements then costs nothing.
void emu_last_blocks(std::uint64_t count) { emu::machine.last_blocks = count; }

void emu_arena(std::uintptr_t base, std::uintptr_t bytes, const std::uintptr_t* begins, const std::uintptr_t* ends) {
  emu::machine.arena = base;
  emu::machine.arena_bytes = bytes;
  emu::machine.begins = begins;
  emu::machine.ends = ends;
}

void emu_executor(emu::Executor executor) { emu::machine.executor = executor; }

std::uint64_t emu_launch_count() { return emu::machine.records.size(); }
void emu_forget_launches() { emu::machine.records.clear(); }
const char* emu_launch_kernel(std::uint64_t i, unsigned* dims, std::uint64_t* shared_bytes) {
  const auto& record = emu::machine.records[i];
  std::memcpy(dims, record.dims, sizeof record.dims);
  *shared_bytes = record.shared_bytes;
  return record.kernel;
}
const emu::Traffic* emu_launch_traffic(std::uint64_t i, std::uint64_t* count) {
  *count = emu::machine.records[i].traffic.size();
  return emu::machine.records[i].traffic.data();
}
// For an executor: what it saw.
void emu_add_traffic(std::uintptr_t begin, std::uintptr_t bytes, std::uint64_t read, std::uint64_t written) {
  emu::machine.traffic.push_back({begin, bytes, read, written});
}

}  // extern "C"
