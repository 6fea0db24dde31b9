// Runs a grid: blocks one after another, the threads of a block as fibers, in the order of the chosen schedule.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "machine.h"

namespace emu {

static char launch_sync, grid_sync;  // ThreadSanitizer: kernel start and kernel end
static constexpr char kCanary[] = "The lowest 64 bytes of a stack: who writes here has overflowed it";
static std::map<const void*, std::size_t> dynamic_limits;

static void fiber_main() {
  fiber_started(machine.scheduler);
  Thread& self = *machine.self;
  tsan_acquire(&launch_sync);
  machine.launch->call(machine.launch->context);
  tsan_release(&grid_sync);
  thread_exited(self);
  abandon_thread();
}

// ---- stacks ----------------------------------------------------------------------------------------------------
#ifdef EMU_TSAN
static void take_stack(Thread& t) {
  static void* fibers[kPools][kMaxThreads];
  TsanIgnore ignore;
  t.fiber.stack = static_cast<char*>(std::aligned_alloc(64, kStackBytes));  // a new allocation clears the shadow
  void*& fiber = fibers[machine.pool()][t.linear];
  if (!fiber) fiber = __tsan_create_fiber(0);
  t.fiber.tsan = fiber;
}
static void drop_stack(Thread& t) {
  TsanIgnore ignore;
  std::free(t.fiber.stack);
}
#else
// One slab, committed where touched. The last stack given back is taken first: it is in the cache. The odd stride
// keeps the tops of the stacks out of one cache set.
static char* free_stacks[kMaxThreads];
static unsigned free_count = 0;
static void take_stack(Thread& t) {
  static const bool filled = [] {
    constexpr std::size_t stride = kStackBytes + 5 * 64, below = 4 * kStackBytes;  // for the first stack to overflow into
    auto* slab = static_cast<char*>(mmap(nullptr, below + stride * kMaxThreads, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (slab == MAP_FAILED) std::abort();
    slab += below;
    for (std::size_t i = kMaxThreads; i-- > 0;) free_stacks[free_count++] = slab + i * stride;
    return true;
  }();
  (void)filled;
  t.fiber.stack = free_stacks[--free_count];
}
static void drop_stack(Thread& t) { free_stacks[free_count++] = t.fiber.stack; }
#endif

static void start_thread(Thread& t) {
  take_stack(t);
  t.fiber.size = kStackBytes;
  t.fenced = false;
  t.seen_count = 0;
  std::memcpy(t.fiber.stack, kCanary, sizeof kCanary);
  fiber_reset(t.fiber, fiber_main);
}

static void end_thread(Thread& t) {
  if (std::memcmp(t.fiber.stack, kCanary, sizeof kCanary) != 0)
    fail("the stack of %zu bytes overflowed: %s", kStackBytes, where(t).c_str());
  drop_stack(t);
  t.fiber.stack = nullptr;
}

// ---- one block -------------------------------------------------------------------------------------------------
static void report_deadlock() {
  std::string text = "deadlock in block (" + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," +
                     std::to_string(blockIdx.z) + "):";
  int shown = 0;
  const Thread* before = nullptr;
  for (unsigned i = 0; i < machine.thread_count && shown < 6; ++i) {
    const Thread& t = machine.threads[i];
    const bool waits = t.state == State::barrier || t.state == State::warp;
    const bool same = before && before->state == t.state && before->site.line == t.site.line;
    before = &t;
    if (!waits || same) continue;
    text += std::string(shown++ ? ";" : "") + " from thread " + std::to_string(i) +
            " on: " + (t.state == State::barrier ? "__syncthreads" : name_of(t.op)) + " at " + t.site.file + ":" +
            std::to_string(t.site.line);
  }
  fail("%s", text.c_str());
}

static void shuffle_order() {
  for (unsigned i = machine.thread_count; i > 1; --i) std::swap(machine.order[i - 1], machine.order[next_random() % i]);
}

static void run_block() {
  Machine& m = machine;
  ++m.block_number;
  m.alive = m.thread_count;
  m.arrived = m.round = 0;
  m.predicates = 0;
  std::memset(m.warp_waiting, 0, sizeof m.warp_waiting);
  std::memset(m.warp_exited, 0, sizeof m.warp_exited);
  for (unsigned i = 0; i < m.thread_count; ++i) {
    m.threads[i].state = State::fresh;
    m.threads[i].site = {nullptr, 0};
  }
  for (bool progress = true; m.alive && progress && !m.error;) {
    progress = false;
    if (m.schedule == Schedule::random) shuffle_order();
    for (unsigned k = 0; k < m.thread_count && !m.error; ++k) {
      Thread& t = m.threads[m.order[k]];
      if (t.state != State::fresh && t.state != State::ready) continue;
      if (t.state == State::fresh) start_thread(t);
      t.state = State::ready;
      m.self = &t;
      threadIdx = t.index;
      progress = true;
      fiber_switch(m.scheduler, t.fiber);
      m.self = nullptr;
      if (t.state == State::done) end_thread(t);
    }
  }
  if (m.alive && !m.error) report_deadlock();
  for (unsigned i = 0; m.error && i < m.thread_count; ++i)
    if (m.threads[i].fiber.stack) end_thread(m.threads[i]);
  release_shared_arrays();
}

// ---- the grid --------------------------------------------------------------------------------------------------
static CudaError check_configuration(const Launch& l) {
  const auto it = dynamic_limits.find(l.kernel);
  const std::size_t limit = it == dynamic_limits.end() ? kStaticSharedLimit : it->second;
  const std::uint64_t threads = std::uint64_t{l.block.x} * l.block.y * l.block.z;
  const bool blocks_fit = l.grid.x && l.grid.y && l.grid.z && l.grid.x <= 0x7FFFFFFFu && l.grid.y <= 65535 && l.grid.z <= 65535;
  if (blocks_fit && threads && threads <= kMaxThreads && l.block.z <= 64 && l.shared_bytes <= limit) return kSuccess;
  char text[256];
  std::snprintf(text, sizeof text, "invalid launch: grid (%u,%u,%u) block (%u,%u,%u) dynamic shared %zu (limit %zu)", l.grid.x,
                l.grid.y, l.grid.z, l.block.x, l.block.y, l.block.z, l.shared_bytes, limit);
  machine.error_text = text;  // not sticky: nothing has run
  return kInvalidConfiguration;
}

static void run_grid(const Launch& l) {
  Machine& m = machine;
  m.launch = &l;
  m.thread_count = l.block.x * l.block.y * l.block.z;
  gridDim = l.grid;
  blockDim = l.block;
  for (unsigned i = 0; i < m.thread_count; ++i) {
    m.order[i] = m.schedule == Schedule::reverse ? m.thread_count - 1 - i : i;
    m.threads[i].linear = i;
    m.threads[i].index = {i % l.block.x, i / l.block.x % l.block.y, i / (l.block.x * l.block.y)};
  }
#ifdef EMU_TSAN
  m.scheduler.tsan = __tsan_get_current_fiber();
#endif
  tsan_release(&launch_sync);
  const std::uint64_t blocks = std::uint64_t{l.grid.x} * l.grid.y * l.grid.z;
  // Random: start anywhere and step by a prime larger than any stride a kernel uses; every block runs once.
  const bool random = m.schedule == Schedule::random && blocks % 0x9E3779B1ull != 0;
  std::uint64_t next = random ? next_random() % blocks : 0;
  for (std::uint64_t k = 0; k < blocks && !m.error; ++k) {
    const std::uint64_t id = m.schedule == Schedule::reverse ? blocks - 1 - k : next;
    next = (next + (random ? 0x9E3779B1ull : 1)) % blocks;
    if (blocks - id > m.last_blocks) continue;
    blockIdx = {static_cast<unsigned>(id % l.grid.x), static_cast<unsigned>(id / l.grid.x % l.grid.y),
                static_cast<unsigned>(id / l.grid.x / l.grid.y)};
    run_block();
  }
  tsan_acquire(&grid_sync);
  m.launch = nullptr;
}

int run(const Launch& l) {
  static std::mutex one_grid_at_a_time;
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);
  Machine& m = machine;
  if (m.error) return m.error;
  if (const CudaError e = check_configuration(l)) return e;
  Dl_info symbol{};
  dladdr(l.kernel, &symbol);
  const unsigned dims[6] = {l.grid.x, l.grid.y, l.grid.z, l.block.x, l.block.y, l.block.z};
  LaunchRecord record{symbol.dli_sname ? symbol.dli_sname : "?", {}, l.shared_bytes, {}};
  std::memcpy(record.dims, dims, sizeof dims);
  m.traffic.clear();
  if (m.executor)
    m.executor(record.kernel, dims, l.shared_bytes, l.argument_count, l.arguments, l.argument_bytes);
  else
    run_grid(l);
  record.traffic = m.traffic;
  m.records.push_back(record);
  return m.error;
}

int fill(void* address, int value, std::size_t bytes) {
  if (machine.error) return machine.error;
  std::memset(address, value, bytes);
  machine.records.push_back({"cudaMemsetAsync", {}, 0, {}});
  return kSuccess;
}

void allow_dynamic_shared(const void* kernel, std::size_t bytes) { dynamic_limits[kernel] = bytes; }

}  // namespace emu
