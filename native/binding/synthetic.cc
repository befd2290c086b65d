// Made-up load for the bench: raw stacks through the interner into batches, as the drain thread would. It measures the
// way from addresses to JavaScript without a kernel that would have to make millions of events a second.
#include "synthetic.h"

#include <algorithm>
#include <memory>

#include "../session/interner.h"
#include "convert.h"

namespace lowflame {
namespace {

// Kernel text cannot be told from made-up addresses without a lookup; the bench wants the interner's cost, not it.
class NoSymbols final : public Symbolizer {
 public:
  Location LocateKernel(uint64_t address) override { return {1, address, FrameKind::kKernel}; }
  Location LocateUser(uint32_t, uint64_t, uint64_t address, uint64_t) override {
    return {2, address, FrameKind::kUser};
  }
  uint64_t ChangedAt(uint32_t, uint64_t, uint64_t) override { return 0; }
  void TaskRecord(const TaskEvent&) override {}
  void TaskRecordsLost() override {}
  void ProcessExec(uint32_t, uint64_t, uint64_t, bool) override {}
  std::vector<ModuleInfo> TakeNewModules() override {
    std::vector<ModuleInfo> modules;
    if (!std::exchange(told_, true)) modules = {{1, "[kernel]", ""}, {2, "/usr/sbin/made-up", ""}};
    return modules;
  }
  std::string Name(const Location&, uint32_t) override { return ""; }
  uint64_t FileOf(const Location&) override { return 0; }
  std::vector<SourcePlace> Places(const Location&, const std::atomic<bool>*) override { return {}; }
  SymbolStats Stats() override { return {}; }

 private:
  bool told_ = false;
};

struct Generator {
  Generator() : interner(&symbols, 0) {}
  NoSymbols symbols;
  Interner interner;
  std::vector<std::vector<uint64_t>> stacks;
  uint64_t seed = 88172645463325252ull;
  uint64_t Random() {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
  }
};

}  // namespace

// makeSyntheticSource(stacks, depth) -> (count) => Batch
Napi::Value MakeSyntheticSource(const Napi::CallbackInfo& info) {
  auto generator = std::make_shared<Generator>();
  size_t stacks = std::clamp(info[0].ToNumber().Uint32Value(), 1u, 1u << 20);
  size_t depth = std::clamp(info[1].ToNumber().Uint32Value(), 1u, 127u);
  for (size_t i = 0; i < stacks; i++) {
    std::vector<uint64_t> frames(depth);
    for (uint64_t& f : frames) f = 0xffffffff81000000ull + generator->Random() % (stacks * 16) * 16;
    generator->stacks.push_back(std::move(frames));
  }
  return Napi::Function::New(info.Env(), [generator](const Napi::CallbackInfo& call) -> Napi::Value {
    uint32_t count = call[0].ToNumber().Uint32Value();
    Batch batch;
    std::vector<FrameToName> to_name;
    for (uint32_t i = 0; i < count; i++) {
      uint64_t r = generator->Random();
      Sample sample{};
      uint32_t process = generator->interner.Process(100 + r % 8, 1, "made-up", false);
      sample.thread = generator->interner.Thread(static_cast<uint32_t>(100 + r % 64), process, "made-up");
      const std::vector<uint64_t>& frames = generator->stacks[r % generator->stacks.size()];
      RawStack raw;
      raw.kernel = frames.data();
      raw.kernel_frames = frames.size() / 2;
      raw.user = frames.data() + raw.kernel_frames;
      raw.user_frames = frames.size() - raw.kernel_frames;
      sample.stack = generator->interner.Stack(process, raw);
      sample.weight_ns = 1e9 / 99;
      sample.time_ns = i;
      batch.of(Source::kCpu).Add(sample);
    }
    generator->interner.TakeNew(&batch.tables, &to_name);
    return ToJs(call.Env(), batch);
  });
}

}  // namespace lowflame
