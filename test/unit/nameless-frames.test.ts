// Frames without a name, in every output: the file and the offset in it; never an address of a process that may be gone.
import { beforeAll, describe, expect, test } from "vitest";
import { searchFor, shown } from "../../src/analysis/text.js";
import { digest } from "../../src/cli/digest.js";
import { writeFolded } from "../../src/export/folded.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { writeSpeedscope } from "../../src/export/speedscope.js";
import type { Profile } from "../../src/model/profile.js";
import { functionNames } from "../../web/labels.js";
import { parseSearch } from "../../web/search.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame, j, u } from "./helpers/fake-capture.js";
import { decode } from "./helpers/pprof-tools.js";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("utf8");
/** Memory of no file, at two places of two processes. */
const anonymous = (offset: bigint): FakeFrame => ({ kind: "unknown", module: "[unknown]", name: "", offset });
const EXPECTED = ["[jit]", "[unknown]", "libfoo.so+0x1a2b"];

let profile: Profile;
beforeAll(() => {
  const capture = new FakeCapture();
  for (const [pid, base] of [
    [100, 0x7f12_3456_7000n],
    [101, 0x7fed_cba9_8000n],
  ] as const) {
    const { thread } = capture.process(pid, "service");
    const stack = [u("_start"), j("", base), anonymous(base + 8n), u("", "/opt/lib/libfoo.so", 0x1a2bn)];
    capture.cpu(thread, stack, { weightNs: 1e6 });
  }
  profile = buildProfile(capture.events());
});

/** What an output calls the functions that have no name. */
const nameless = (names: readonly string[]) =>
  [...new Set(names)]
    .filter((name) => name !== "" && !/^_start$|^service|^\[truncated\]$|\(pid -1\)$/.test(name))
    .sort();

describe("are called by their file and the offset in it", () => {
  test("in folded stacks, which are one line for both processes", () => {
    expect(text(writeFolded(profile, "cpu"))).toBe(
      "service;_start;[jit];[unknown];libfoo.so+0x1a2b 2000000\n",
    );
  });
  test("in pprof", async () => {
    const { function: functions, stringTable } = await decode(profile, "cpu");
    expect(nameless(functions.map((f) => stringTable[Number(f.name)]!))).toEqual(EXPECTED);
  });
  test("in speedscope", () => {
    const { shared } = JSON.parse(text(writeSpeedscope(profile, ["cpu"]))) as {
      shared: { frames: { name: string }[] };
    };
    expect(nameless(shared.frames.map((frame) => frame.name))).toEqual(EXPECTED);
  });
  test("in the report's page", () => {
    expect(nameless(functionNames(toDocument(profile, [])))).toEqual(EXPECTED);
  });
  test("in the JSON, and so in the terminal", () => {
    expect(nameless(digest(profile).cpu!.functions.map((row) => row.name))).toEqual(["libfoo.so+0x1a2b"]);
  });
});

test("a name that was cut to be shown is still found in the page, and a short one exactly", () => {
  const long = `proxy::Handler<${"proxy::Layer<".repeat(12)}int${">".repeat(12)}>::run(proxy::Request&)`;
  const others = ["proxy::run()", "proxy::run() [clone]"];
  const found = (name: string) => {
    const search = parseSearch(searchFor(shown(name)), [long, ...others]);
    return search.kind === "matcher" ? [long, ...others].filter(search.matches) : [];
  };
  expect(shown(long)).toHaveLength(100);
  expect(found(long)).toEqual([long]);
  expect(found("proxy::run()")).toEqual(["proxy::run()"]);
});
