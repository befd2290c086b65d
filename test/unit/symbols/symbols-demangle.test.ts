// C++ and Rust names made readable, and names that were made to break whoever does so.
import { execFileSync } from "node:child_process";
import { beforeAll, describe, expect, test } from "vitest";
import { BUILD_MS, buildDriver, DRIVER, demangle } from "./driver.js";

beforeAll(buildDriver, BUILD_MS);

test.each([
  ["_ZNSt6vectorIiSaIiEE5clearEv", "std::vector<int, std::allocator<int> >::clear()"],
  ["_ZN5proxy8UpstreamIiE7connectEi", "proxy::Upstream<int>::connect(int)"],
  [
    "_ZZN4node9inspector5AgentC4EvENKUlvE_clEv",
    "node::inspector::Agent::Agent()::'lambda'()::operator()() const",
  ],
  // legacy Rust: the hash says nothing to a reader, the escapes stand for letters that C++ names have not
  ["_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"],
  [
    "_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE",
    "<alloc::string::String as core::fmt::Debug>::fmt",
  ],
  [
    "_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
    "std::rt::lang_start::{{closure}}",
  ],
  [
    "_ZN9hashbrown3raw21RawTable$LT$T$C$A$GT$14reserve_rehash17h9ced699257e3d954E.llvm.16214176167800682971",
    "hashbrown::raw::RawTable<T,A>::reserve_rehash",
  ],
  // what a compiler made of one function of the source stays told apart
  ["_ZN5proxy3runEv.constprop.0", "proxy::run() (.constprop.0)"],
  // Rust v0
  ["_RNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0Cs6GmmlP4bgsG_1r", "std::rt::lang_start::<()>::{closure#0}"],
  ["_RNvCs1234_7mycrate3foo", "mycrate::foo"],
  ["_RNvNtCs1234_7mycrate3bar3foo", "mycrate::bar::foo"],
  // neither: as they are
  ["ngx_http_process_request", "ngx_http_process_request"],
  ["_Zebra", "_Zebra"],
  ["_R", "_R"],
  ["main.(*Server).Serve", "main.(*Server).Serve"],
])("%s", (mangled, readable) => {
  expect(demangle(mangled)).toEqual([readable]);
});

/** Sixty templates, each with the one before twice as its arguments: 2^60 characters, if it were written out. */
function expandingName(): string {
  const reference = (i: number) => (i === 0 ? "S_" : `S${(i - 1).toString(36).toUpperCase()}_`);
  let name = "_Z1f1AIiiE";
  for (let k = 0, last = 1; k < 60; k++, last += 2) {
    const id = `T${k}`;
    name += `${id.length}${id}I${reference(last)}${reference(last)}E`;
  }
  return name;
}

/** The same in Rust's way: tuples of the tuple before, twice. */
function expandingRustName(): string {
  const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  // 0 is "_", n is n - 1 in base 62 and "_"
  const base62 = (n: number): string => (n < 62 ? "" : base62(Math.floor(n / 62))) + digits[n % 62]!;
  const reference = (at: number) => `B${at === 0 ? "" : base62(at - 1)}_`;
  let name = "INvC1a1f";
  for (let k = 0, last = 0; k < 60; k++) {
    const at = name.length;
    name += k === 0 ? "TaaE" : `T${reference(last)}${reference(last)}E`;
    last = at;
  }
  return `_R${name}E`;
}

describe("hostile names come back as they are, quickly and in little memory", () => {
  test.each([
    ["a name that expands without end", expandingName()],
    ["a Rust name that does so", expandingRustName()],
    ["100,000 characters", `_Z1f${"P".repeat(100_000)}i`],
  ])("%s", (_, name) => {
    const args = ["--as=268435456", "--cpu=5", DRIVER, "--demangle", name];
    const line = execFileSync("prlimit", args, { encoding: "utf8" });
    expect(JSON.parse(line).name).toBe(name);
  });

  test.each([
    ["pointers", `_Z1f${"P".repeat(8000)}i`],
    ["templates in templates", `_Z1f${"1aI".repeat(2000)}i${"E".repeat(2000)}`],
    ["functions of functions", `_Z1f${"F".repeat(4000)}i${"E".repeat(4000)}`],
    ["references in Rust", `_RIC0${"R".repeat(8000)}aE`],
    ["scopes that never end", `_Z${"Z".repeat(16000)}`],
    ["scopes, just below the length that gets a stack of its own", `_Z${"Z".repeat(1022)}`],
    ["constants of constants", `_Z1fI${"K".repeat(16000)}`],
  ])("nested deeply on a stack of 1 MiB: %s", (_, name) => {
    const args = ["--stack=1048576", DRIVER, "--demangle", name];
    const line = execFileSync("prlimit", args, { encoding: "utf8" });
    expect(JSON.parse(line).name.length).toBeGreaterThan(0);
  });
});
