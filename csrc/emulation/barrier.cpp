// __syncthreads(): all threads of the block, at one site, none of them gone.
#include <cstring>

#include "machine.h"

namespace emu {

// Addresses that stand for barriers to ThreadSanitizer. One set a pool, or blocks would be ordered through them;
// two rounds, because a thread may still leave round r while others arrive at r + 1.
static char barrier_sync[kPools][2];

static void release_barrier() {
  Machine& m = machine;
  m.last_predicates[m.round & 1] = m.predicates;
  m.predicates = 0;
  m.arrived = 0;
  ++m.round;
  for (unsigned i = 0; i < m.thread_count; ++i)
    if (m.threads[i].state == State::barrier) m.threads[i].state = State::ready;
}

static bool same_site(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

int block_sync(Site site, int predicate) {
  Machine& m = machine;
  Thread& self = *m.self;
  self.site = site;
  if (m.alive != m.thread_count) {
    fail("__syncthreads() after %u of %u threads of the block have exited: %s", m.thread_count - m.alive, m.thread_count,
         where(self).c_str());
    abandon_thread();
  }
  for (unsigned i = 0; m.arrived && i < m.thread_count; ++i) {
    const Thread& other = m.threads[i];
    if (other.state != State::barrier) continue;
    if (same_site(other.site, site)) break;  // all earlier waiters agree with each other
    fail("divergent __syncthreads(): %s, but thread (%u,%u,%u) waits at %s:%d", where(self).c_str(), other.index.x,
         other.index.y, other.index.z, other.site.file, other.site.line);
    abandon_thread();
  }
  const unsigned round = m.round;
  tsan_release(&barrier_sync[m.pool()][round & 1]);
  m.predicates += predicate != 0;
  if (++m.arrived == m.alive) {
    release_barrier();
  } else {
    self.state = State::barrier;
    yield_to_scheduler();
  }
  tsan_acquire(&barrier_sync[m.pool()][round & 1]);
  return m.last_predicates[round & 1];
}

unsigned block_threads() { return machine.thread_count; }

void thread_exited(Thread& thread) {
  Machine& m = machine;
  thread.state = State::done;
  m.warp_exited[thread.linear / 32] |= 1u << (thread.linear % 32);
  --m.alive;
  if (m.arrived && m.arrived == m.alive)
    fail("block (%u,%u,%u) thread (%u,%u,%u) exited while %u threads wait in __syncthreads()", blockIdx.x, blockIdx.y,
         blockIdx.z, thread.index.x, thread.index.y, thread.index.z, m.arrived);
}

}  // namespace emu
