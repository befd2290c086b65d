// The thread that names frames: a JIT frame without a name gets a second try at the end of the recording, and what
// could not be named in time is counted.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repositoryRoot } from "../support/paths.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-late-jit-"));
const program = join(dir, "late");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Runs the real thread on a symbolizer whose perf map is written when the test says so. One JSON line a step. */
const SOURCE = `
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>
#include "session/symbol_thread.h"

using namespace lowflame;
using namespace std::chrono_literals;

struct Fake final : Symbolizer {
  std::atomic<int> map_lines{0}, asked{0};
  std::atomic<bool> stuck{false};
  Location LocateKernel(uint64_t) override { return {}; }
  Location LocateUser(uint32_t, uint64_t, uint64_t, uint64_t) override { return {}; }
  uint64_t ChangedAt(uint32_t, uint64_t, uint64_t) override { return 0; }
  void TaskRecord(const TaskEvent&) override {}
  void TaskRecordsLost() override {}
  void ProcessExec(uint32_t, uint64_t, uint64_t, bool) override {}
  std::vector<ModuleInfo> TakeNewModules() override { return {}; }
  SymbolStats Stats() override { return {}; }
  uint64_t FileOf(const Location&) override { return 0; }
  std::vector<SourcePlace> Places(const Location&, const std::atomic<bool>*) override { return {}; }
  std::string Name(const Location& l, uint32_t pid) override {
    asked++;
    while (stuck) std::this_thread::sleep_for(1ms);
    if (l.kind == FrameKind::kUser) return l.offset ? "user" : "";
    return l.offset < static_cast<uint64_t>(map_lines) ? "jit of " + std::to_string(pid) : "";
  }
};

static void Print(const char* step, std::vector<NameRow> rows, int asked, size_t left) {
  printf("{\\"step\\":\\"%s\\",\\"asked\\":%d,\\"left\\":%zu,\\"names\\":{", step, asked, left);
  for (size_t i = 0; i < rows.size(); i++) printf("%s\\"%u\\":\\"%s\\"", i ? "," : "", rows[i].frame, rows[i].name.c_str());
  printf("}}\\n");
}

int main(int, char** argv) {
  Fake fake;
  SymbolThread thread(&fake);
  FrameKind jit = FrameKind::kJit, user = FrameKind::kUser;
  if (!strcmp(argv[1], "retry")) {
    fake.map_lines = 1;
    std::vector<FrameToName> frames{{10, {1, 0, jit}, 7}, {11, {1, 1, jit}, 7}, {12, {1, 2, jit}, 7},
                                    {13, {2, 5, user}, 7}, {14, {2, 0, user}, 7}};
    thread.Add(&frames);
    while (fake.asked < 5) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(20ms);
    Print("soon", thread.Take(), fake.asked, 0);
    fake.map_lines = 2;
    size_t left = thread.Finish(5000);
    Print("end", thread.Take(), fake.asked, left);
  } else {
    fake.stuck = true;
    std::vector<FrameToName> frames{{1, {2, 5, user}, 7}, {2, {2, 5, user}, 7}, {3, {2, 5, user}, 7}};
    thread.Add(&frames);
    while (fake.asked < 1) std::this_thread::sleep_for(1ms);
    size_t left = thread.Finish(50);
    Print("end", thread.Take(), fake.asked, left);
    fake.stuck = false;
  }
}
`;

beforeAll(() => {
  const source = join(dir, "late.cc");
  writeFileSync(source, SOURCE);
  const include = `-I${join(repositoryRoot(), "native")}`;
  execFileSync("g++", [
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pthread",
    include,
    source,
    "-o",
    program,
  ]);
}, 60_000);

function steps(scenario: string): unknown[] {
  const out = execFileSync(program, [scenario], { encoding: "utf8", timeout: 15_000 });
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("JIT frames without a name wait for the end, other frames do not; each is asked for at most twice", () => {
  expect(steps("retry")).toEqual([
    { step: "soon", asked: 5, left: 0, names: { 10: "jit of 7", 13: "user", 14: "" } },
    { step: "end", asked: 7, left: 0, names: { 11: "jit of 7", 12: "" } },
  ]);
});

test("where a file does not answer, the recording ends in time and counts the frame that waits and those behind it", () => {
  expect(steps("stuck")).toEqual([{ step: "end", asked: 1, left: 3, names: {} }]);
});
