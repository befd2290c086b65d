// Names frames in a thread of its own, so that neither the drain nor the event loop waits for ELF files.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "../core/samples.h"
#include "../symbols/symbols.h"
#include "interner.h"

namespace lowflame {

class SymbolThread {
 public:
  explicit SymbolThread(Symbolizer* symbolizer) : symbolizer_(symbolizer), thread_([this] { Run(); }) {}
  ~SymbolThread() { Stop(); }

  void Add(std::vector<FrameToName>* frames) {
    if (frames->empty()) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
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
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      FrameToName f = queue_.front();
      queue_.pop_front();
      busy_ = true;
      lock.unlock();
      std::string name = symbolizer_->Name(f.location, f.pid);
      lock.lock();
      busy_ = false;
      if (name.empty() && f.location.kind == FrameKind::kJit && !finishing_ && late_.size() < kMaxLate)
        late_.push_back(f);
      else
        named_.push_back({f.frame, std::move(name)});
      if (queue_.empty()) idle_.notify_all();
    }
  }

  Symbolizer* symbolizer_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<FrameToName> queue_;
  static constexpr size_t kMaxLate = 100000;
  std::vector<FrameToName> late_;  // JIT frames that had no name when they were first looked up
  std::vector<NameRow> named_;
  bool stop_ = false, busy_ = false, finishing_ = false;
  std::thread thread_;
};

}  // namespace lowflame
