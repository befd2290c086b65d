// What the checks of in-kernel-check.mjs share: running lowflame and loads, reading captures, and what to expect of them.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readCapture } from "../../dist/capture/file/reader.js";
import { ProfileBuilder } from "../../dist/model/build.js";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const main = join(root, "dist/cli/main.js");
/** Folder of the test programs. */
export const programs = join(root, "build/test-programs");
const dir = mkdtempSync(join(tmpdir(), "lowflame-check-"));
/** Path of a file of the checks' own. */
export const file = (name) => join(dir, name);
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Runs lowflame to its end; gives its JSON document and what else it said. */
export function lowflame(command, ...args) {
  const done = spawnSync(process.execPath, [main, command, "--json", ...args], {
    encoding: "utf8",
    timeout: 90_000,
  });
  let json;
  try {
    json = JSON.parse(done.stdout);
  } catch {
    throw new Error(`lowflame ${command} printed no JSON, exit ${done.status}: ${lastWords(done.stderr)}`);
  }
  if (done.status !== 0 || !json.ok)
    throw new Error(
      `lowflame ${command}: exit ${done.status}, ${json.error?.message ?? lastWords(done.stderr)}`,
    );
  return json;
}
const lastWords = (text) => text.trim().split("\n").slice(-3).join(" / ").slice(0, 500) || "no word";

/** Starts a background command in a process group of its own; `stop` ends the whole group. */
export function background(command, args) {
  const child = spawn(command, args, { detached: true, stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  const ended = new Promise((done) => child.on("exit", done));
  return {
    said: () => out,
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal);
      await ended;
    },
  };
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export async function until(condition, ms, what) {
  for (const end = Date.now() + ms; !condition(); await sleep(100))
    if (Date.now() > end) throw new Error(`no ${what} in ${ms / 1000} s`);
}

export function expect(holds, text) {
  if (!holds) throw new Error(text);
}
export const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
const lineOf = (name, at) => JSON.parse(readFileSync(file(name), "utf8").trim().split("\n").at(at));
/** The last line that a program of test/programs printed: what it counted itself. */
export const counted = (name) => lineOf(name, -1);
/** The process that printed it. */
export const pidOf = (name) => lineOf(name, 0).pid;
export const loss = (json, id) => json.losses.find((row) => row.id === id)?.count;

export async function profileOf(capture) {
  const builder = new ProfileBuilder();
  for await (const event of readCapture(capture)) builder.add(event);
  return builder.build();
}

/** Rows of one source: thread, stack from the root to the leaf, weight. */
export function rowsOf(profile, source) {
  const table = profile.weights.find((weights) => weights.source === source);
  expect(table, `the capture holds no ${source} samples`);
  return Array.from({ length: table.count }, (_, i) => {
    const stack = [];
    const kinds = new Set();
    for (let node = table.node[i]; node !== 0; node = profile.tree.parent[node]) {
      stack.unshift(profile.functions.name[profile.tree.func[node]]);
      kinds.add(profile.functions.kind[profile.tree.func[node]]);
    }
    const tid = profile.threads[table.thread[i]]?.tid;
    const [weightNs, samples, state] = [table.weightNs[i], table.samples[i], table.state[i]];
    return { tid, stack, kinds, weightNs, samples, state, flags: table.flags[i], lock: table.lock?.[i] };
  });
}
export const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);

/** Everybody's programs, as bpftool lists them. */
export const loadedPrograms = () =>
  JSON.parse(spawnSync("bpftool", ["-j", "prog", "show"], { encoding: "utf8" }).stdout);

/** BTF keeps names as zero-terminated strings, so the kernel's own table tells what it has. */
export const btfHas = (name) => readFileSync("/sys/kernel/btf/vmlinux").includes(`\0${name}\0`);
