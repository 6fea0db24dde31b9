// The interface between kernels (compiled from the .cu files) and the emulated machine (csrc/emulation/*.cpp).
#pragma once
#include <cstddef>
#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
// The built-in variables: plain objects that the scheduler sets before it resumes a thread.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace emu {

struct Site {  // where in the source a thread stands
  const char* file;
  int line;
};

// Blocks until every thread of the block has come to the same site. Returns how many had a true predicate.
int block_sync(Site site, int predicate = 0);
unsigned block_threads();

// Warp collectives. The calling lane gives `in` and gets the operation's result for it.
enum class Op : std::uint8_t { sync, shfl, shfl_up, shfl_down, shfl_xor, ballot, match, add, min, max };
std::uint64_t warp_collective(Op op, unsigned mask, std::uint64_t in, int argument, int width, Site site);

// The memory model as ThreadSanitizer sees it: a fence, and the two sides of an atomic operation.
void fence();
void before_atomic(void* address);
void after_atomic(void* address);

// The block's shared array of this key: new, aligned to 16 bytes and filled with 0xFF (NaN, -1) in every block.
void* shared_array(const void* key, std::size_t bytes, const char* name);
void* dynamic_shared();

// A launch as both executors need it: to call the kernel here, or to find its PTX by name and pass the bytes on.
struct Launch {
  const void* kernel;
  dim3 grid, block;
  std::size_t shared_bytes;
  void (*call)(const void* context);  // runs the kernel body for the current thread
  const void* context;
  int argument_count;
  const void* const* arguments;
  const std::size_t* argument_bytes;
};
int run(const Launch& launch);                          // a cudaError_t
int fill(void* address, int value, std::size_t bytes);  // likewise; recorded as a launch of "cudaMemsetAsync"
void allow_dynamic_shared(const void* kernel, std::size_t bytes);
const char* last_error_text();

}  // namespace emu
