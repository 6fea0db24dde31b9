// The emulated machine's state; private to csrc/emulation/*.cpp.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "fiber.h"
#include "runtime.h"
#include "sanitizers.h"

namespace emu {

inline constexpr unsigned kMaxThreads = 1024, kWarps = kMaxThreads / 32, kArrays = 64;
inline constexpr std::size_t kStaticSharedLimit = 48 * 1024, kSharedLimit = 227 * 1024;
// ThreadSanitizer: block b runs on fiber pool b % kPools. Pools have no edges between them, so blocks are unordered
// although they run in turn. A fiber costs milliseconds to create, hence pools and not one fiber per thread and block.
inline constexpr unsigned kPools = 3;

enum CudaError { kSuccess = 0, kInvalidConfiguration = 9, kLaunchFailure = 719 };
enum class Schedule : int { forward, reverse, random };
enum class State : std::uint8_t { fresh, ready, barrier, warp, done };

struct Thread {
  Fiber fiber;
  uint3 index;
  unsigned linear;
  State state;
  Site site;
  // The warp collective in flight.
  Op op;
  unsigned mask;
  int argument, width;
  std::uint64_t in, out;
  // ThreadSanitizer's view of fences: did this thread fence, and which atomics has it touched since.
  bool fenced;
  int seen_count;
  void* seen[16];
};

struct SharedArray {
  const void* key;
  char* memory;
  std::size_t bytes;
  const char* name;
};

// What a launch asked of one tensor: each thread's loads and stores added up, caches not modelled.
struct Traffic {  // mirrored by tests/emulation/emu.py
  std::uintptr_t begin, bytes;
  std::uint64_t read, written;
};
struct LaunchRecord {
  const char* kernel;  // mangled
  unsigned dims[6];    // grid x y z, block x y z
  std::uint64_t shared_bytes;
  std::vector<Traffic> traffic;
};

using Executor = void (*)(const char* kernel, const unsigned* dims, std::uint64_t shared_bytes, int argument_count,
                          const void* const* arguments, const std::size_t* argument_bytes);

struct Machine {
  // Settings.
  Schedule schedule = Schedule::forward;
  std::uint64_t random = 1;
  std::uint64_t last_blocks = ~std::uint64_t{0};  // only so many blocks at the end of a grid run
  Executor executor = nullptr;                    // null: run the kernels here
  // Device memory: [arena, arena + arena_bytes); the tensor that owns a page is [begins[page], ends[page]).
  std::uintptr_t arena = 0, arena_bytes = 0;
  const std::uintptr_t *begins = nullptr, *ends = nullptr;

  // The running launch.
  const Launch* launch = nullptr;
  std::vector<Traffic> traffic;
  unsigned order[kMaxThreads];

  // The running block.
  Fiber scheduler;
  Thread threads[kMaxThreads] = {};
  Thread* self = nullptr;  // null: host code runs
  unsigned thread_count = 0, alive = 0, arrived = 0, round = 0;
  int predicates = 0, last_predicates[2] = {0, 0};
  unsigned warp_waiting[kWarps], warp_exited[kWarps];  // bit masks of lanes
  SharedArray arrays[kArrays];
  unsigned array_count = 0;
  char* dynamic = nullptr;
  std::uint64_t block_number = 0;

  // Outcome.
  CudaError error = kSuccess;
  std::string error_text;
  std::deque<LaunchRecord> records;

  unsigned pool() const { return static_cast<unsigned>(block_number % kPools); }
  unsigned lanes_of(unsigned warp) const {
    const unsigned here = thread_count - warp * 32;
    return here >= 32 ? ~0u : (1u << here) - 1;
  }
};
extern Machine machine;

// All of a block's shared arrays lie in this window with gaps between them; trace.cpp knows what lies in a gap.
extern char shared_window[512 * 1024];

// The first failure of a launch is kept; the launch ends as soon as control is back in the scheduler.
[[gnu::format(printf, 1, 2)]] void fail(const char* format, ...);
std::string where(const Thread& thread);  // "block (0,0,0) thread (3,0,0) at file:line"
const char* name_of(Op op);
std::uint32_t next_random();

void yield_to_scheduler(bool last = false);
[[noreturn]] void abandon_thread();  // after fail()
void thread_exited(Thread& thread);  // barrier.cpp: nobody may wait for it
void release_shared_arrays();        // shared.cpp: at the end of a block
void maybe_preempt();                // random schedule: let another thread run here

}  // namespace emu
