// A recording of code with debug information, made up: parse() has read_header() inlined, which has get16() inlined, and
// is called from two lines of main().
import type { Profile } from "../../../src/model/profile.js";
import { buildProfile } from "./build-profile.js";
import { FakeCapture, type FakeFrame, k, u } from "./fake-capture.js";

export const PROGRAM = "/usr/bin/parser";
const place = (name: string, file: string, line: number) => ({ function: name, file: `/src/${file}`, line });

const mainAt = (line: number): FakeFrame => ({
  ...u("main", PROGRAM, BigInt(0x1000 + line)),
  places: [place("main", "main.c", line)],
});
/** Code of parse() itself at a line of it, or of what is inlined there. */
const parseAt = (line: number, inlined: readonly ReturnType<typeof place>[] = []): FakeFrame => ({
  ...u("parse", PROGRAM, BigInt(0x2000 + 256 * line + inlined.length)),
  places: [...inlined, place("parse", "parse.c", line)],
});

/** Samples of 1 ms: 5 in get16(), from two lines of main(); 2 in read_header() itself; 1 in parse(), 1 in the kernel below it. */
export function inlinedProfile(): Profile {
  const capture = new FakeCapture();
  const { thread } = capture.process(7, "parser");
  const get16 = place("get16", "bytes.h", 8);
  const header = place("read_header", "parse.c", 21);
  const start = u("_start", PROGRAM);
  const once = (stack: readonly FakeFrame[], times: number) =>
    capture.cpu(thread, [start, ...stack], { weightNs: 1_000_000, times });
  once([mainAt(40), parseAt(60, [get16, header])], 3);
  once([mainAt(44), parseAt(60, [get16, header])], 2);
  once([mainAt(40), parseAt(60, [{ ...header, line: 22 }])], 2);
  once([mainAt(40), parseAt(61)], 1);
  once([mainAt(40), parseAt(62), k("do_syscall_64")], 1);
  return buildProfile(capture.events());
}
