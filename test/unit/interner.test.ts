// What a stack of addresses becomes in the addon: frames of different files stay apart whatever their offsets, the same
// addresses are another stack once other code is there, and code that nobody is known to have mapped makes a stack one
// that is cut short, until it is known.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repositoryRoot } from "../support/paths.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-interner-"));
const program = join(dir, "interner");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** An address is a module (its upper half) and an offset (the lower one, less the one of a return address); module 0: not known. */
const SOURCE = `
#include <cstdio>
#include <set>
#include "session/interner.h"

using namespace lowflame;

struct Fake final : Symbolizer {
  bool late = false;
  Location LocateKernel(uint64_t) override { return {}; }
  Location LocateUser(uint32_t, uint64_t, uint64_t address, uint64_t time_ns) override {
    auto module = static_cast<uint32_t>(address >> 32);
    if (module == 3 && time_ns >= 100) module = 4;
    if (!module || (module == 9 && !late)) return {0, address, FrameKind::kUnknown};
    return {module, address & 0xffffffff, FrameKind::kUser};
  }
  uint64_t ChangedAt(uint32_t, uint64_t, uint64_t time_ns) override { return time_ns >= 100 ? 100 : 0; }
  void TaskRecord(const TaskEvent&) override {}
  void TaskRecordsLost() override {}
  void ProcessExec(uint32_t, uint64_t, uint64_t, bool) override {}
  std::vector<ModuleInfo> TakeNewModules() override { return {}; }
  SymbolStats Stats() override { return {}; }
  std::string Name(const Location&, uint32_t) override { return ""; }
  uint64_t FileOf(const Location&) override { return 0; }
  std::vector<SourcePlace> Places(const Location&, const std::atomic<bool>*) override { return {}; }
};

static uint32_t StackOf(Interner* interner, uint32_t process, const std::vector<uint64_t>& user, bool* cut,
                        uint64_t time_ns = 0) {
  RawStack raw;
  raw.time_ns = time_ns;
  raw.user = user.data();
  raw.user_frames = user.size();
  return interner->Stack(process, raw, cut);
}

int main() {
  Fake fake;
  Interner interner(&fake, 1);
  uint32_t process = interner.Process(7, 1, "many", false);
  std::set<uint32_t> leaves;
  bool cut = false;
  for (uint64_t module = 1; module <= 8; module++)
    for (uint64_t offset = 0x1000; offset < 0x1100; offset++) leaves.insert(StackOf(&interner, process, {module << 32 | offset}, &cut));
  std::vector<FrameToName> names;
  Tables tables{};
  interner.TakeNew(&tables, &names);
  printf("{\\"frames\\":%zu,\\"stacks\\":%zu,\\"cut\\":%d", names.size(), leaves.size(), cut);

  std::vector<uint64_t> later{1ull << 32 | 5, 9ull << 32 | 6, 2ull << 32 | 7};
  uint32_t first = StackOf(&interner, process, later, &cut);
  printf(",\\"cutBefore\\":%d", cut);
  cut = false;
  fake.late = true;
  uint32_t second = StackOf(&interner, process, later, &cut);
  printf(",\\"cutAfter\\":%d,\\"another\\":%d", cut, first != second);
  StackOf(&interner, process, {12}, &cut);
  printf(",\\"leafNotKnown\\":%d", cut);
  std::set<uint32_t> by_time;
  for (uint64_t time_ns : {50, 99, 100, 150, 70}) by_time.insert(StackOf(&interner, process, {3ull << 32 | 0x5000}, &cut, time_ns));
  printf(",\\"byTime\\":%zu}\\n", by_time.size());
}
`;

beforeAll(() => {
  const source = join(dir, "interner.cc");
  writeFileSync(source, SOURCE);
  const native = join(repositoryRoot(), "native");
  const files = [source, join(native, "session/interner.cc"), "-o", program];
  execFileSync("g++", ["-std=c++17", "-Wall", "-Wextra", "-Werror", `-I${native}`, ...files]);
}, 60_000);

test("as many frames as places in files; a stack through memory that nobody is known to have mapped is cut, for as long as that is so", () => {
  expect(JSON.parse(execFileSync(program, { encoding: "utf8" }))).toEqual({
    ...{ frames: 8 * 256, stacks: 8 * 256, cut: 0 },
    ...{ cutBefore: 1, cutAfter: 0, another: 1, leafNotKnown: 1 },
    byTime: 2, // the same addresses, once before another library was loaded there and once after
  });
});
