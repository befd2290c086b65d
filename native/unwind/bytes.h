// Reading numbers out of bytes that may end anywhere and claim anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lowflame {

// Reads forward and never beyond its end. From the first read that does not fit on everything reads as 0, nothing is
// left, and ok() is false. Little-endian, as x86-64 is.
class Bytes {
 public:
  Bytes(const uint8_t* begin, const uint8_t* end) : at_(begin), end_(end) {}

  template <class T>
  T Read() {
    T value{};
    if (!Fits(sizeof(T))) return value;
    memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  // Bits beyond the 64th are dropped.
  uint64_t Uleb() {
    uint8_t last;
    unsigned bits;
    return Leb(&last, &bits);
  }
  int64_t Sleb() {
    uint8_t last;
    unsigned bits;
    uint64_t value = Leb(&last, &bits);
    if (bits < 64 && (last & 0x40)) value |= ~uint64_t{0} << bits;
    return static_cast<int64_t>(value);
  }
  // The next `size` bytes, which are skipped here.
  Bytes Take(uint64_t size) {
    if (!Fits(size)) return Bytes(end_, end_);
    const uint8_t* begin = at_;
    at_ += size;
    return Bytes(begin, at_);
  }
  bool Skip(uint64_t size) {
    if (!Fits(size)) return false;
    at_ += size;
    return true;
  }

  bool ok() const { return ok_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  const uint8_t* at() const { return at_; }
  const uint8_t* end() const { return end_; }

 private:
  bool Fits(uint64_t size) {
    if (size <= left()) return true;
    ok_ = false;
    at_ = end_;
    return false;
  }
  uint64_t Leb(uint8_t* last, unsigned* bits) {
    uint64_t value = 0;
    *bits = 0;
    do {
      *last = Read<uint8_t>();
      if (*bits < 64) value |= uint64_t{*last & 0x7fu} << *bits;
      if (*bits < 64) *bits += 7;
    } while (*last & 0x80);
    return value;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

}  // namespace lowflame
