// Rows of a page lie together in one chunk: see pages.h.
#include "pages.h"

#include <algorithm>

namespace lowflame {
namespace {

constexpr size_t kMaxChunks = 1u << 16;       // the upper half of a directory word
constexpr size_t kMaxNewRulesOfAFile = 2048;  // so that no file alone fills the table of the machine; libcrypto has 355

}  // namespace

TableWriter::TableWriter(uint32_t pages, UnwindRules* rules, UnwindTable* table)
    : rules_(rules), table_(table), rules_before_(rules->rules().size()), directory_(pages) {
  size_t chunks = (size_t{pages} + LF_UW_CHUNK_WORDS - 1) / LF_UW_CHUNK_WORDS;
  table->file.pages = pages;
  table->file.directory_chunks = static_cast<uint32_t>(chunks);
  table->words.assign(chunks * LF_UW_CHUNK_WORDS, 0);
  rows_.reserve(LF_UW_PAGE_BYTES);
}

uint16_t TableWriter::IdOf(const lf_uw_rule& rule) {
  Cached& cached = cache_[HashOf(rule) % cache_.size()];
  if (!SameRule(cached.rule, rule)) {
    bool may_add = rules_->rules().size() - rules_before_ < kMaxNewRulesOfAFile;
    cached = {rule, rules_->IdOf(rule, may_add)};
  }
  return cached.id;
}

void TableWriter::Add(uint64_t offset, const lf_uw_rule& rule) {
  if (offset != pending_offset_) Commit();
  pending_offset_ = offset;
  if (keeps_frame_pointers_ && rule.cfa == LF_UW_SP && rule.fp == LF_UW_FP_SAME && rule.cfa_offset > 8) {
    lf_uw_rule kept = rule;
    kept.fp = LF_UW_FP_CFA;
    kept.fp_offset = -16;
    pending_ = IdOf(kept);
    return;
  }
  pending_ = IdOf(rule);
}

void TableWriter::Commit() {
  if (pending_ == last_) return;
  uint64_t page = pending_offset_ >> LF_UW_PAGE_SHIFT;
  while (page_ < page) FlushPage();
  if (page_ >= directory_.size()) return;
  auto offset = static_cast<uint32_t>(pending_offset_ & (LF_UW_PAGE_BYTES - 1));
  if (offset && rows_.empty()) rows_.push_back(LF_UW_ROW(0, last_));
  rows_.push_back(LF_UW_ROW(offset, pending_));
  last_ = pending_;
}

// The page is done: what held at its end holds at the next one's begin.
void TableWriter::FlushPage() {
  if (page_ < directory_.size()) {
    if (rows_.empty()) rows_.push_back(LF_UW_ROW(0, last_));
    if (rows_.size() > LF_UW_PAGE_ROWS) {
      // what is left out must not look as if the row before went on
      table_->rows_left_out += rows_.size() - (LF_UW_PAGE_ROWS - 1);
      rows_.resize(LF_UW_PAGE_ROWS);
      rows_.back() = LF_UW_ROW(rows_.back() >> 16, kUnsupportedRule);
    }
    if (rows_.size() > 1 || rows_[0] != LF_UW_ROW(0, 0)) directory_[page_] = Place(rows_.data(), rows_.size());
  }
  rows_.clear();
  page_++;
}

// The fullest of the open chunks that has room; else a new one takes the place of the fullest. nullptr: no more chunks.
TableWriter::OpenChunk* TableWriter::ChunkFor(size_t count) {
  OpenChunk *best = nullptr, *fullest = &open_[0];
  for (OpenChunk& chunk : open_) {
    if (chunk.used > fullest->used) fullest = &chunk;
    if (chunk.used + count <= LF_UW_CHUNK_WORDS && (!best || chunk.used > best->used)) best = &chunk;
  }
  if (best) return best;
  size_t chunks = table_->words.size() / LF_UW_CHUNK_WORDS;
  if (chunks >= kMaxChunks) {
    full_ = true;
    return nullptr;
  }
  table_->words.resize(table_->words.size() + LF_UW_CHUNK_WORDS);
  *fullest = {static_cast<uint32_t>(chunks), 0};
  return fullest;
}

uint32_t TableWriter::Place(const uint32_t* rows, size_t count) {
  uint32_t* shared = nullptr;
  if (count == 1) {
    shared = &single_rows_[rows[0]];
    if (*shared) return *shared;
  }
  OpenChunk* chunk = ChunkFor(count);
  if (!chunk) return 0;
  uint32_t* to = &table_->words[chunk->index * LF_UW_CHUNK_WORDS + chunk->used];
  for (size_t i = 0; i < count; i++) {
    to[i] = rows[i];
    table_->rows_unsupported += (rows[i] & 0xffff) == kUnsupportedRule;
  }
  uint32_t word = LF_UW_DIR(chunk->index, chunk->used, static_cast<uint32_t>(count));
  chunk->used += static_cast<uint32_t>(count);
  table_->rows += count;
  if (shared) *shared = word;
  return word;
}

bool TableWriter::Finish() {
  Commit();
  while (page_ < directory_.size()) FlushPage();
  if (full_) return false;
  std::copy(directory_.begin(), directory_.end(), table_->words.begin());
  table_->words.shrink_to_fit();
  return true;
}

}  // namespace lowflame
