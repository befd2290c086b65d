// Names frames in a thread of its own, so that neither the drain nor the event loop waits for ELF files. Places in
// source text are looked up at the end of a recording, file by file: reading debug information costs seconds of CPU and
// 100 MB, which belongs neither into the time that is measured nor, for several files, into memory at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "../core/samples.h"
#include "../symbols/symbols.h"
#include "interner.h"

namespace lowflame {

class SymbolThread {
 public:
  explicit SymbolThread(Symbolizer* symbolizer) : symbolizer_(symbolizer), thread_([this] { Run(); }) {}
  ~SymbolThread() { Stop(); }

  // After each drain.
  void Add(std::vector<FrameToName>* frames) {
    const bool maps = symbolizer_->HasPerfMaps();
    if (frames->empty() && !maps) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      read_maps_ = maps;
      queue_.insert(queue_.end(), frames->begin(), frames->end());
    }
    frames->clear();
    wake_.notify_one();
  }
  // Names found since the last call.
  std::vector<NameRow> Take() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(named_, {});
  }
  // Places found since the last call.
  std::vector<SourceRow> TakeSources() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(sources_, {});
  }
  // After Finish: waits until the places of all frames are looked up, at most `ms`. Returns how many were not.
  uint64_t FinishSources(int ms) {
    std::unique_lock<std::mutex> lock(mutex_);
    locating_ = true;
    wake_.notify_one();
    idle_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return !locating_ || stop_; });
    enough_ = true;
    return sources_left_ + to_locate_.size();
  }
  // Waits until all frames are named, at most `ms`. Returns how many were left.
  size_t Finish(int ms) {
    std::unique_lock<std::mutex> lock(mutex_);
    // a JIT writes its map when it likes: what had no name then may have one now
    queue_.insert(queue_.end(), late_.begin(), late_.end());
    late_.clear();
    finishing_ = true;
    wake_.notify_one();
    idle_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return queue_.empty() && !busy_; });
    return queue_.size() + (busy_ ? 1 : 0);
  }
  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      enough_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || locating_ || read_maps_ || !queue_.empty(); });
      if (stop_) return;
      if (std::exchange(read_maps_, false)) {
        lock.unlock();
        symbolizer_->ReadPerfMaps();
        lock.lock();
        continue;
      }
      if (queue_.empty()) {
        Locate(&lock);
        continue;
      }
      FrameToName f = queue_.front();
      queue_.pop_front();
      busy_ = true;
      lock.unlock();
      std::string name = symbolizer_->Name(f.location, f.pid);
      lock.lock();
      busy_ = false;
      if (f.location.kind == FrameKind::kUser) {
        if (to_locate_.size() < kMaxToLocate)
          to_locate_.push_back(f);
        else
          sources_left_++;
      }
      if (name.empty() && f.location.kind == FrameKind::kJit && !finishing_ && late_.size() < kMaxLate)
        late_.push_back(f);
      else
        named_.push_back({f.frame, std::move(name)});
      if (queue_.empty()) idle_.notify_all();
    }
  }

  // In the order of files and of addresses in them, so that each file is read once and each address is looked up once.
  void Locate(std::unique_lock<std::mutex>* lock) {
    std::vector<FrameToName> frames = std::exchange(to_locate_, {});
    sources_left_ += frames.size();
    lock->unlock();
    struct Place {
      uint64_t file, offset;
      const FrameToName* frame;
    };
    std::vector<Place> places;
    for (const FrameToName& f : frames) places.push_back({symbolizer_->FileOf(f.location), f.location.offset, &f});
    std::sort(places.begin(), places.end(),
              [](const Place& a, const Place& b) { return std::tie(a.file, a.offset) < std::tie(b.file, b.offset); });
    std::vector<SourcePlace> found;
    for (size_t i = 0; i < places.size() && !enough_; i++) {
      const Place& p = places[i];
      if (!i || p.file != places[i - 1].file || p.offset != places[i - 1].offset)
        found = p.file ? symbolizer_->Places(p.frame->location, &enough_) : std::vector<SourcePlace>();
      if (enough_) break;
      std::lock_guard<std::mutex> guard(mutex_);
      sources_left_--;
      if (!found.empty()) sources_.push_back({p.frame->frame, found});
    }
    lock->lock();
    locating_ = false;
    idle_.notify_all();
  }

  Symbolizer* symbolizer_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<FrameToName> queue_;
  static constexpr size_t kMaxLate = 100000;
  std::vector<FrameToName> late_;  // JIT frames that had no name when they were first looked up
  std::vector<NameRow> named_;
  static constexpr size_t kMaxToLocate = 1u << 20;
  std::vector<FrameToName> to_locate_;  // user frames, by the time of their naming
  std::vector<SourceRow> sources_;
  uint64_t sources_left_ = 0;
  std::atomic<bool> enough_{false};  // no more places are wanted
  bool stop_ = false, busy_ = false, finishing_ = false, locating_ = false, read_maps_ = false;
  std::thread thread_;
};

}  // namespace lowflame
