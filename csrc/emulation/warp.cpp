// Warp collectives: every lane of the mask must come, with the same mask, operation and line.
#include "machine.h"

namespace emu {

// As barrier_sync in barrier.cpp, for __syncwarp: by pool, warp, lowest lane of the mask, and round.
static char warp_sync[kPools][kWarps][32][2];
static unsigned warp_round[kWarps][32];

static int lowest(unsigned mask) { return __builtin_ctz(mask); }

static int source_lane(const Thread& t, int lane) {
  const int first = lane & ~(t.width - 1), last = first + t.width - 1;
  switch (t.op) {
    case Op::shfl: return first + (t.argument & (t.width - 1));
    case Op::shfl_up: return lane - t.argument < first ? lane : lane - t.argument;
    case Op::shfl_down: return lane + t.argument > last ? lane : lane + t.argument;
    default: return (lane ^ t.argument) > last ? lane : (lane ^ t.argument);
  }
}

static void resolve(Thread* warp, unsigned mask) {
  std::uint64_t sum = 0;
  unsigned votes = 0;
  auto smallest = static_cast<std::int64_t>(warp[lowest(mask)].in), largest = smallest;
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    const int lane = lowest(rest);
    const auto value = static_cast<std::int64_t>(warp[lane].in);
    sum += warp[lane].in;
    votes |= static_cast<unsigned>(value != 0) << lane;
    smallest = value < smallest ? value : smallest;
    largest = value > largest ? value : largest;
  }
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    const int lane = lowest(rest);
    Thread& t = warp[lane];
    switch (t.op) {
      case Op::sync: break;
      case Op::ballot: t.out = votes; break;
      case Op::add: t.out = sum; break;
      case Op::min: t.out = static_cast<std::uint64_t>(smallest); break;
      case Op::max: t.out = static_cast<std::uint64_t>(largest); break;
      case Op::match:
        t.out = 0;
        for (unsigned k = mask; k; k &= k - 1)
          if (warp[lowest(k)].in == t.in) t.out |= 1u << lowest(k);
        break;
      default: {  // a lane outside the mask has no defined value in CUDA; here it is NaN or -1
        const int source = source_lane(t, lane);
        t.out = mask >> source & 1 ? warp[source].in : ~std::uint64_t{0};
      }
    }
    if (t.state == State::warp) t.state = State::ready;
  }
  machine.warp_waiting[warp->linear / 32] &= ~mask;
}

static void check_mask(const Thread& self, unsigned warp, unsigned lane) {
  const unsigned lanes = machine.lanes_of(warp);
  if (!(self.mask >> lane & 1)) {
    fail("%s with mask %08x that does not name the calling lane %u: %s", name_of(self.op), self.mask, lane,
         where(self).c_str());
    abandon_thread();
  }
  if (const unsigned bad = self.mask & (machine.warp_exited[warp] | ~lanes)) {
    fail("%s mask %08x names lane %d, which %s: %s", name_of(self.op), self.mask, lowest(bad),
         lanes >> lowest(bad) & 1 ? "has exited" : "does not exist", where(self).c_str());
    abandon_thread();
  }
}

// Are all other lanes of the mask waiting, for the same thing?
static bool all_here(const Thread& self, const Thread* warp, unsigned number, unsigned lane) {
  const unsigned others = self.mask & ~(1u << lane);
  if (others & ~machine.warp_waiting[number]) return false;
  for (unsigned rest = others; rest; rest &= rest - 1) {
    const Thread& other = warp[lowest(rest)];
    if (other.mask == self.mask && other.op == self.op && other.site.line == self.site.line) continue;
    if (!(other.mask >> lane & 1)) return false;  // it waits for other lanes first
    fail("lanes disagree: %s mask %08x, %s; lane %d waits in %s mask %08x at %s:%d", name_of(self.op), self.mask,
         where(self).c_str(), lowest(rest), name_of(other.op), other.mask, other.site.file, other.site.line);
    abandon_thread();
  }
  return true;
}

std::uint64_t warp_collective(Op op, unsigned mask, std::uint64_t in, int argument, int width, Site site) {
  Thread& self = *machine.self;
  const unsigned lane = self.linear % 32, number = self.linear / 32;
  Thread* warp = &machine.threads[number * 32];
  self.op = op;
  self.mask = mask;
  self.in = in;
  self.argument = argument;
  self.width = width;
  self.site = site;
  check_mask(self, number, lane);
  const bool complete = all_here(self, warp, number, lane);
  unsigned& round = warp_round[number][lowest(mask)];
  char* sync = &warp_sync[machine.pool()][number][lowest(mask)][round & 1];
  if (op == Op::sync) tsan_release(sync);
  if (complete) {
    resolve(warp, mask);
    if (op == Op::sync) ++round;
  } else {
    self.state = State::warp;
    machine.warp_waiting[number] |= 1u << lane;
    yield_to_scheduler();
  }
  if (op == Op::sync) tsan_acquire(sync);  // shuffles and votes order no memory, as the CUDA guide says
  return self.out;
}

}  // namespace emu
