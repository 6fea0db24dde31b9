// A CPU allocator for torch that knows the bounds of every tensor: inputs, outputs and scratch of an operator alike.
// Each allocation has its own pages, ends at an inaccessible one (rounded up to 16 bytes), and is filled with 0xFF:
// what is read before it is written is NaN or -1. Freed pages become inaccessible and are not used again.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstring>
#include <mutex>
#include <new>

namespace {

constexpr size_t kPage = 4096, kBytes = size_t{1} << 37;  // address space, not memory
constexpr size_t kFillLimit = size_t{1} << 26;            // a larger tensor stays untouched: it may be virtual
constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

char* base = nullptr;
size_t next_page = 1;                          // page 0 stays inaccessible
uintptr_t *begins = nullptr, *ends = nullptr;  // of the tensor that owns a page
std::mutex mutex;

void* reserve(size_t bytes, int protection) {
  void* p = mmap(nullptr, bytes, protection, kFlags, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

void own(uintptr_t from, size_t pages, uintptr_t begin, uintptr_t end) {
  const size_t first = (from - reinterpret_cast<uintptr_t>(base)) / kPage;
  for (size_t i = first; i < first + pages; ++i) begins[i] = begin, ends[i] = end;
}

c10::Allocator* before = nullptr;
int installed = 0;  // how many times over

void release(void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  if (address - reinterpret_cast<uintptr_t>(base) >= kBytes) {  // not ours: oneDNN keeps the first deleter it sees
    if (p) before->raw_deleter()(p);
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  const uintptr_t from = address / kPage * kPage;
  const size_t page = (from - reinterpret_cast<uintptr_t>(base)) / kPage;
  const size_t pages = (ends[page] - from + kPage - 1) / kPage;
  // Fresh, inaccessible pages take the place of the old ones, whose memory is given back.
  mmap(reinterpret_cast<void*>(from), pages * kPage, PROT_NONE, kFlags | MAP_FIXED, -1, 0);
  own(from, pages, 0, 0);
}

struct Arena final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &release, cpu};
    const std::lock_guard<std::mutex> lock(mutex);
    const size_t pages = (bytes + kPage - 1) / kPage;
    if ((next_page + pages + 1) * kPage > kBytes) throw std::bad_alloc();
    char* body = base + next_page * kPage;
    next_page += pages + 1;  // and the guard
    if (mprotect(body, pages * kPage, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    if (bytes <= kFillLimit) std::memset(body, 0xFF, pages * kPage);
    char* data = body + (pages * kPage - bytes) / 16 * 16;
    const auto begin = reinterpret_cast<uintptr_t>(data);
    own(reinterpret_cast<uintptr_t>(body), pages, begin, begin + bytes);
    return {data, data, &release, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

Arena arena;

}  // namespace

extern "C" {

// 0, or 1 where the address space cannot be had.
int arena_install() {
  if (!base) {
    base = static_cast<char*>(reserve(kBytes, PROT_NONE));
    begins = static_cast<uintptr_t*>(reserve(kBytes / kPage * sizeof *begins, PROT_READ | PROT_WRITE));
    ends = static_cast<uintptr_t*>(reserve(kBytes / kPage * sizeof *ends, PROT_READ | PROT_WRITE));
    if (!base || !begins || !ends) return 1;
  }
  if (installed++ == 0) {
    before = c10::GetCPUAllocator();
    c10::SetCPUAllocator(&arena);
  }
  return 0;
}
void arena_uninstall() {
  if (--installed == 0) c10::SetCPUAllocator(before);
}

uintptr_t arena_base() { return reinterpret_cast<uintptr_t>(base); }
uintptr_t arena_bytes() { return kBytes; }
const uintptr_t* arena_begins() { return begins; }
const uintptr_t* arena_ends() { return ends; }
}
