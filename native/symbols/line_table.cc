// Decoding line number programs: see line_table.h.
#include "line_table.h"

#include <dwarf.h>

#include <algorithm>
#include <cstring>

namespace lowflame {
namespace {

constexpr size_t kMaxRows = 2u << 20, kMaxFiles = 1u << 17, kMaxPath = 4096;
constexpr uint32_t kEnd = UINT32_MAX;

}  // namespace

// Reads within bounds; once it has failed all that it gives is 0.
class LineTable::Reader {
 public:
  Reader(const unsigned char* at, size_t size) : at_(at), end_(at + size) {}
  bool ok() const { return ok_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  // From here on only so many bytes.
  void Limit(uint64_t size) {
    if (size > left())
      Fail();
    else
      end_ = at_ + size;
  }
  void Skip(uint64_t size) {
    if (size > left())
      Fail();
    else
      at_ += size;
  }
  uint64_t Fixed(size_t size) {
    uint64_t value = 0;
    if (size > sizeof(value) || size > left()) return Fail();
    memcpy(&value, at_, size);  // little-endian, as all machines are that this runs on
    at_ += size;
    return value;
  }
  uint8_t Byte() { return static_cast<uint8_t>(Fixed(1)); }
  uint64_t Unsigned() {
    uint64_t value = 0;
    for (unsigned shift = 0; at_ < end_; shift += 7) {
      const uint8_t byte = *at_++;
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value;
    }
    return Fail();
  }
  int64_t Signed() {
    uint64_t value = 0;
    for (unsigned shift = 0; at_ < end_;) {
      const uint8_t byte = *at_++;
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if (shift < 64 && (byte & 0x40)) value |= ~uint64_t{0} << shift;
      return static_cast<int64_t>(value);
    }
    return static_cast<int64_t>(Fail());
  }
  // "" if it is too long to be a path.
  const char* Text() {
    const void* end = left() ? memchr(at_, 0, left()) : nullptr;
    if (!end) return Fail(), "";
    const char* text = reinterpret_cast<const char*>(at_);
    at_ = static_cast<const unsigned char*>(end) + 1;
    return at_ - reinterpret_cast<const unsigned char*>(text) > static_cast<ptrdiff_t>(kMaxPath) ? "" : text;
  }

 private:
  uint64_t Fail() {
    ok_ = false;
    at_ = end_;
    return 0;
  }
  const unsigned char *at_, *end_;
  bool ok_ = true;
};

bool LineTable::ReadNames(Reader* in) {
  directories_.push_back("");  // that of the compilation
  for (const char* name; *(name = in->Text());) {
    if (directories_.size() >= kMaxFiles) return false;
    directories_.push_back(name);
  }
  files_.push_back({"", 0});  // they count from 1
  for (const char* name; *(name = in->Text());) {
    const uint64_t directory = in->Unsigned();
    in->Unsigned();  // time
    in->Unsigned();  // size
    if (files_.size() >= kMaxFiles) return false;
    files_.push_back({name, static_cast<uint32_t>(std::min<uint64_t>(directory, UINT32_MAX))});
  }
  return in->ok();
}

bool LineTable::ReadNamesOf5(Reader* in, const DebugImage& image, uint8_t offset_size) {
  struct Entry {
    uint64_t content, form;
  };
  auto text_at = [](const DebugBytes& section, uint64_t at) -> const char* {
    if (at >= section.size) return "";
    return Reader(section.at + at, std::min<uint64_t>(section.size - at, kMaxPath)).Text();
  };
  for (bool of_files : {false, true}) {
    std::vector<Entry> format(in->Byte());
    for (Entry& e : format) {
      e.content = in->Unsigned();
      e.form = in->Unsigned();
    }
    const uint64_t count = in->Unsigned();
    if (count > kMaxFiles || (count && format.empty())) return false;
    for (uint64_t i = 0; i < count && in->ok(); i++) {
      FileName file{"", 0};
      for (const Entry& e : format) {
        const char* text = "";
        uint64_t number = 0;
        switch (e.form) {
          case DW_FORM_string:
            text = in->Text();
            break;
          case DW_FORM_line_strp:
            text = text_at(image.line_strings, in->Fixed(offset_size));
            break;
          case DW_FORM_strp:
            text = text_at(image.strings, in->Fixed(offset_size));
            break;
          case DW_FORM_udata:
          case DW_FORM_strx:
            number = in->Unsigned();
            break;
          case DW_FORM_data1:
          case DW_FORM_strx1:
            number = in->Fixed(1);
            break;
          case DW_FORM_data2:
          case DW_FORM_strx2:
            number = in->Fixed(2);
            break;
          case DW_FORM_data4:
          case DW_FORM_strx4:
            number = in->Fixed(4);
            break;
          case DW_FORM_data8:
            number = in->Fixed(8);
            break;
          case DW_FORM_data16:
            in->Skip(16);
            break;
          case DW_FORM_block:
            in->Skip(in->Unsigned());
            break;
          default:
            return false;
        }
        if (e.content == DW_LNCT_path) file.name = text;
        if (e.content == DW_LNCT_directory_index)
          file.directory = static_cast<uint32_t>(std::min<uint64_t>(number, UINT32_MAX));
      }
      if (of_files)
        files_.push_back(file);
      else
        directories_.push_back(file.name);
    }
  }
  return in->ok();
}

bool LineTable::ReadHeader(Reader* in, const DebugImage& image, uint8_t offset_size) {
  version_ = static_cast<uint16_t>(in->Fixed(2));
  if (version_ < 2 || version_ > 5) return false;
  if (version_ >= 5) {
    address_size_ = in->Byte();
    if (in->Byte()) return false;  // segments
  }
  const uint64_t names_size = in->Fixed(offset_size);
  if (!in->ok() || names_size > in->left()) return false;
  const size_t behind = in->left() - names_size;
  step_ = in->Byte();
  operations_ = version_ >= 4 ? in->Byte() : 1;
  in->Byte();  // default_is_stmt
  line_base_ = static_cast<int8_t>(in->Byte());
  range_ = in->Byte();
  base_ = in->Byte();
  if (!in->ok() || !operations_ || !range_ || !base_) return false;
  for (int i = 1; i < base_; i++) lengths_.push_back(in->Byte());
  if (version_ >= 5 ? !ReadNamesOf5(in, image, offset_size) : !ReadNames(in)) return false;
  if (in->left() < behind) return false;
  in->Skip(in->left() - behind);
  return in->ok();
}

void LineTable::Run(Reader* in, const std::vector<CodeRange>& code) {
  uint64_t address = 0, operation = 0, file = 1, line = 1;
  size_t sequence = 0;  // row that it begins with
  auto in_code = [&](uint64_t at) {
    return std::any_of(code.begin(), code.end(), [&](const CodeRange& r) { return at >= r.begin && at < r.end; });
  };
  auto add = [&](uint32_t of_file) {
    const auto of_line = static_cast<uint32_t>(line);
    // rows that only tell of columns and statements
    if (rows_.size() > sequence && rows_.back().file == of_file && rows_.back().line == of_line) return;
    rows_.push_back({address, of_file, of_line});
  };
  auto advance = [&](uint64_t by) {
    address += step_ * ((operation + by) / operations_);
    operation = (operation + by) % operations_;
  };
  while (in->ok() && in->left() && rows_.size() < kMaxRows) {
    const uint8_t op = in->Byte();
    if (op >= base_) {
      const uint8_t adjusted = static_cast<uint8_t>(op - base_);
      advance(adjusted / range_);
      line += static_cast<uint64_t>(static_cast<int64_t>(line_base_) + adjusted % range_);
      add(static_cast<uint32_t>(std::min<uint64_t>(file, kEnd - 1)));
      continue;
    }
    switch (op) {
      case 0: {
        const uint64_t size = in->Unsigned();
        if (!size || size > in->left()) return;
        const uint8_t extended = in->Byte();
        const size_t behind = in->left() - (size - 1);
        if (extended == DW_LNE_set_address) {
          address = in->Fixed(std::min<uint64_t>(size - 1, 8));
          operation = 0;
        } else if (extended == DW_LNE_end_sequence) {
          add(kEnd);
          if (rows_.size() > sequence && !in_code(rows_[sequence].address)) rows_.resize(sequence);
          sequence = rows_.size();
          address = operation = 0;
          file = line = 1;
        }
        in->Skip(in->left() - behind);
        break;
      }
      case DW_LNS_copy:
        add(static_cast<uint32_t>(std::min<uint64_t>(file, kEnd - 1)));
        break;
      case DW_LNS_advance_pc:
        advance(in->Unsigned());
        break;
      case DW_LNS_advance_line:
        line += static_cast<uint64_t>(in->Signed());
        break;
      case DW_LNS_set_file:
        file = in->Unsigned();
        break;
      case DW_LNS_const_add_pc:
        advance((255 - base_) / range_);
        break;
      case DW_LNS_fixed_advance_pc:
        address += in->Fixed(2);
        operation = 0;
        break;
      default:
        // columns, statements, blocks, and what later versions may bring
        for (uint8_t i = 0; i < lengths_[op - 1]; i++) in->Unsigned();
    }
  }
  // a sequence without an end reaches nowhere
  rows_.resize(sequence);
}

LineTable LineTable::Read(const DebugImage& image, uint64_t at, const std::vector<CodeRange>& code) {
  LineTable out;
  if (at >= image.line.size) return out;
  Reader in(image.line.at + at, image.line.size - at);
  uint64_t size = in.Fixed(4);
  const bool wide = size == 0xffffffff;
  if (wide) size = in.Fixed(8);
  in.Limit(size);
  if (!in.ok() || !out.ReadHeader(&in, image, wide ? 8 : 4)) return LineTable();
  out.Run(&in, code);
  // an end precedes what begins at its address; else the last row of an address is the one that counts
  std::stable_sort(out.rows_.begin(), out.rows_.end(), [](const Row& a, const Row& b) {
    if (a.address != b.address) return a.address < b.address;
    return a.file == kEnd && b.file != kEnd;
  });
  out.rows_.shrink_to_fit();
  return out;
}

bool LineTable::Find(uint64_t address, uint32_t* file, uint32_t* line) const {
  auto next =
      std::upper_bound(rows_.begin(), rows_.end(), address, [](uint64_t a, const Row& row) { return a < row.address; });
  if (next == rows_.begin() || (next - 1)->file == kEnd) return false;
  *file = (next - 1)->file;
  *line = (next - 1)->line;
  return true;
}

std::string LineTable::File(uint64_t number, const std::string& directory) const {
  if (number >= files_.size() || !*files_[number].name) return "";
  const FileName& file = files_[number];
  std::string path = file.name;
  if (path[0] == '/') return path;
  if (file.directory < directories_.size() && *directories_[file.directory])
    path = std::string(directories_[file.directory]) + '/' + path;
  if (path[0] != '/' && !directory.empty()) path = directory + '/' + path;
  return path.size() < kMaxPath ? path : "";
}

}  // namespace lowflame
