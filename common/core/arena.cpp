// arena.cpp - a list of chunks, filled one after another; see arena.h.
#include "core/arena.h"

#include <algorithm>

#include "core/check.h"

namespace {
constexpr size_t kAlignment = 64;
constexpr size_t kChunkBytes = size_t(32) << 20;
#ifdef GPT_DEBUG
constexpr size_t kHeaderBytes = kAlignment;
#else
constexpr size_t kHeaderBytes = 0;
#endif

size_t padded(size_t bytes) {
    return (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
}

void set_stamp(Device device, void* memory, uint64_t stamp) {
    device_upload(device, static_cast<char*>(memory) - kHeaderBytes, &stamp, sizeof stamp);
}
}  // namespace

Arena::~Arena() {
    for (const Chunk& chunk : chunks_) device_free(device_, chunk.memory, chunk.bytes);
}

void* Arena::allocate(size_t bytes) {
    const size_t size = padded(bytes) + kHeaderBytes;
    auto& recycled = recycled_[padded(bytes)];
    void* memory;
    if (!recycled.empty()) {
        memory = recycled.back();
        recycled.pop_back();
    } else {
        while (chunk_ < chunks_.size() && used_ + size > chunks_[chunk_].bytes) {
            chunk_++;
            used_ = 0;
        }
        if (chunk_ == chunks_.size()) {
            const size_t chunk_bytes = std::max(size, kChunkBytes);
            chunks_.push_back({static_cast<char*>(device_alloc(device_, chunk_bytes)), chunk_bytes});
            used_ = 0;
        }
        memory = chunks_[chunk_].memory + used_ + kHeaderBytes;
        used_ += size;
        peak_ = std::max(peak_, bytes_before(chunk_) + used_);
    }
    if (kHeaderBytes) set_stamp(device_, memory, next_stamp_++);
    return memory;
}

void Arena::recycle(void* memory, size_t bytes) {
    if (kHeaderBytes) {
        set_stamp(device_, memory, 0);
        device_fill(device_, memory, 0xFF, bytes);
    }
    recycled_[padded(bytes)].push_back(memory);
}

void Arena::rewind(Mark to) {
    // note: recycled blocks may lie behind the mark, so all are forgotten; those before it come back at the
    // next full rewind.
    recycled_.clear();
    if (kHeaderBytes) {
        for (size_t c = to.chunk; c < chunks_.size() && c <= chunk_; c++) {
            const size_t begin = c == to.chunk ? to.used : 0, end = c == chunk_ ? used_ : chunks_[c].bytes;
            device_fill(device_, chunks_[c].memory + begin, 0xFF, end - begin);
        }
    }
    chunk_ = to.chunk;
    used_ = to.used;
}

size_t Arena::bytes_before(size_t chunk) const {
    size_t bytes = 0;
    for (size_t c = 0; c < chunk; c++) bytes += chunks_[c].bytes;
    return bytes;
}

size_t Arena::bytes_reserved() const {
    return bytes_before(chunks_.size());
}

uint64_t Arena::stamp(const void* memory, Device device) {
    uint64_t stamp = 0;
    if (kHeaderBytes)
        device_download(device, &stamp, static_cast<const char*>(memory) - kHeaderBytes, sizeof stamp);
    return stamp;
}
