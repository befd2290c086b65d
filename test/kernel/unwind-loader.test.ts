// The loader of unwind tables by itself (native/loader), on maps of its own: what it tells the kernel of processes that
// run, begin, open libraries and end, and which tables give way when there is no room.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { USER_STACK_ENDS } from "../../src/capture/binding.js";
import { Child } from "../support/children.js";
import { repositoryRoot } from "../support/paths.js";
import { startProgram } from "../support/programs.js";
import { sleep } from "../support/record.js";

interface MappingInKernel {
  readonly begin: string;
  readonly end: string;
  readonly table: number;
  readonly bias: string;
  readonly loaded: boolean;
  readonly first: string;
  readonly pages: number;
}
interface Shown {
  readonly parts: number;
  readonly mappings: readonly MappingInKernel[];
}
interface Facts {
  readonly processes: number;
  readonly tables: number;
  readonly tableBytes: number;
  readonly evicted: number;
  readonly reread: number;
  readonly losses: Readonly<Record<string, number>>;
}

class Loader {
  #seen = 1;
  private constructor(readonly child: Child) {}
  static async start(...options: readonly string[]): Promise<Loader> {
    const loader = new Loader(
      Child.start([join(repositoryRoot(), "build/test-loader/lowflame-loader"), ...options]),
    );
    running.push(loader.child);
    await loader.child.until(() => loader.child.stdout.includes("\n"), 20_000, "the loader");
    return loader;
  }
  async #ask<Answer>(line: string): Promise<Answer> {
    this.child.write(`${line}\n`);
    await this.child.until(() => this.child.stdout.split("\n").length > this.#seen + 1, 20_000, line);
    return JSON.parse(this.child.stdout.split("\n")[this.#seen++]!) as Answer;
  }
  show = (pid: number) => this.#ask<Shown>(`show ${pid}`);
  facts = () => this.#ask<Facts>("facts");
  cut = (pid: number, end: (typeof USER_STACK_ENDS)[number], at: bigint) =>
    this.#ask(`cut ${pid} 0 ${USER_STACK_ENDS.indexOf(end)} ${at.toString(16)}`);
  /** Of a thread asleep in a system call: registers as /proc tells them. */
  outside(pid: number, tid: number, ms: number) {
    const [sp, ip] = readFileSync(`/proc/${pid}/task/${tid}/syscall`, "utf8").trim().split(" ").slice(-2);
    return this.#ask<{ stop: number; frames: string[] }>(`outside ${pid} ${tid} ${ip} ${sp} ${ms}`);
  }
  /** Waits for a state of a process. */
  async until(pid: number, ms: number, is: (shown: Shown) => boolean): Promise<Shown> {
    const end = performance.now() + ms;
    for (;;) {
      const shown = await this.show(pid);
      if (is(shown)) return shown;
      if (performance.now() > end) throw new Error(`not within ${ms} ms: ${JSON.stringify(shown)}`);
      await sleep(2);
    }
  }
}
const running: Child[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) await child.stop();
});

const hex = (text: string): bigint => BigInt(`0x${text}`);

/** Executable mappings of files as /proc tells them. */
function filesOf(pid: number) {
  return readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .map((line) => /^(\w+)-(\w+) r-xp (\w+) \S+ [1-9]\d* +(\/.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, begin, end, offset, path]) => ({
      begin: hex(begin!),
      end: hex(end!),
      offset: hex(offset!),
      path: path!,
    }));
}

/** Address that an ELF file wants for a file offset, as readelf reads its program headers. */
function fileAddress(path: string, offset: bigint): bigint {
  for (const line of execFileSync("readelf", ["-lW", path], { encoding: "utf8" }).split("\n")) {
    const match = /^ +LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)/.exec(line);
    if (!match) continue;
    const [at, address, length] = match.slice(1).map((text) => hex(text!));
    if (offset >= at! && offset < at! + length!) return offset - at! + address!;
  }
  throw new Error(`offset ${offset} is in no segment of ${path}`);
}

/** Each file of a process is there, with its table, and an address in it leads to the file's own. */
function expectWhole(shown: Shown, pid: number) {
  for (const file of filesOf(pid)) {
    const mapping = shown.mappings.find((m) => hex(m.begin) <= file.begin && hex(m.end) >= file.end);
    expect(mapping, file.path).toBeDefined();
    expect(file.begin - hex(mapping!.bias), file.path).toBe(fileAddress(file.path, file.offset));
    expect(mapping!.loaded, file.path).toBe(true);
    const first = hex(mapping!.first);
    const text = file.begin - hex(mapping!.bias);
    expect(text + 1024n * BigInt(mapping!.pages) > first && first < text + file.end - file.begin).toBe(true);
  }
  const begins = shown.mappings.map((m) => hex(m.begin));
  expect(begins).toEqual([...begins].sort((a, b) => (a < b ? -1 : 1)));
}

const loaded = (shown: Shown) =>
  shown.mappings.length > 0 && shown.mappings.every((m) => !m.table || m.loaded);

/** All its files are there: what it had from its parent before its exec is loaded too. */
const loadedOf = (pid: number) => (shown: Shown) =>
  loaded(shown) &&
  filesOf(pid).every((file) =>
    shown.mappings.some((m) => hex(m.begin) <= file.begin && hex(m.end) >= file.end),
  );

/** The table of the first file of a process. */
const tableOf = (shown: Shown, pid: number) => {
  const at = filesOf(pid)[0]!.begin;
  return shown.mappings.find((m) => hex(m.begin) === at)!.table;
};

test("copies of one program have one table if they are one user's", async () => {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-copies-"));
  try {
    chmodSync(dir, 0o755);
    const files = [0, 0, 12345].map((uid, i) => {
      const file = join(dir, `sleep${i}`);
      copyFileSync("/bin/sleep", file);
      chownSync(file, uid, uid);
      chmodSync(file, 0o755);
      return file;
    });
    const pids = files.map((file) => {
      const child = Child.start([file, "60"]);
      running.push(child);
      return child.pid;
    });
    const loader = await Loader.start();
    const tables: number[] = [];
    for (const pid of pids) tables.push(tableOf(await loader.until(pid, 5_000, loadedOf(pid)), pid));
    expect(tables[1]).toBe(tables[0]);
    expect(tables[2]).not.toBe(tables[0]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("a process that ran before: its mappings lead to addresses of its files, equal files have one table", async () => {
  const program = await startProgram("late-code", { hold: true });
  running.push(program.child);
  const loader = await Loader.start();
  const shown = await loader.until(program.pid, 5_000, loaded);
  expectWhole(shown, program.pid);
  const libc = (of: Shown, pid: number) => {
    const at = filesOf(pid).find((file) => file.path.includes("/libc.so"))!.begin;
    return of.mappings.find((m) => hex(m.begin) === at)!.table;
  };
  const own = await loader.until(loader.child.pid, 5_000, loaded);
  expect(libc(own, loader.child.pid)).toBe(libc(shown, program.pid));
});

test("fork, dlopen, exec and exit are followed by records alone", async () => {
  const loader = await Loader.start();
  await loader.until(loader.child.pid, 5_000, loaded); // what ran before is learnt
  const { reread } = await loader.facts();
  const program = await startProgram("late-code", { hold: true, args: ["--ms", "400"] });
  running.push(program.child);
  expectWhole(await loader.until(program.pid, 1_000, loadedOf(program.pid)), program.pid);
  const before = filesOf(program.pid);
  expect(before.some((file) => file.path.includes("/libz.so"))).toBe(false);

  program.go();
  const children = () =>
    readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, "utf8").split(" ").filter(Boolean);
  await expect.poll(children).toHaveLength(1);
  const child = Number(children()[0]);
  expectWhole(await loader.until(child, 1_000, loadedOf(child)), child);

  await expect.poll(() => filesOf(program.pid).some((file) => file.path.includes("/libz.so"))).toBe(true);
  const library = filesOf(program.pid).find((file) => file.path.includes("/libz.so"))!;
  await loader.until(program.pid, 1_000, (shown) =>
    shown.mappings.some((m) => m.loaded && hex(m.begin) === library.begin),
  );
  await loader.until(child, 1_000, (shown) => shown.parts === 0); // it has ended

  await expect.poll(() => filesOf(program.pid).some((file) => file.path.includes("/libz.so"))).toBe(false);
  await sleep(100);
  const after = filesOf(program.pid);
  const shown = await loader.until(program.pid, 1_000, loaded);
  expectWhole(shown, program.pid);
  expect(shown.mappings.some((m) => hex(m.begin) === library.begin)).toBe(
    after.some((file) => file.begin === library.begin),
  );

  await program.result();
  await loader.until(program.pid, 1_000, (gone) => gone.parts === 0);
  const facts = await loader.facts();
  expect(facts.reread).toBe(reread);
  expect(facts.losses["unwind.records_lost"]).toBe(0);
});

test("a budget that is too small: nobody's table but the asked-for one's comes, and another's goes for it", async () => {
  // the tables of the C library and of libm fill it, so that of this very process's files most are left out
  const budget = 128 * 1024;
  const { pid } = process;
  const loader = await Loader.start("--bytes", String(budget));
  await loader.until(pid, 5_000, (shown) => shown.parts > 0);
  await sleep(2_500); // tables of processes that are not busy are tried for two seconds
  const { losses, tableBytes, evicted } = await loader.facts();
  expect(losses["unwind.tables_left_out"]).toBeGreaterThan(0);
  expect(tableBytes).toBeLessThanOrEqual(budget);
  expect(evicted).toBe(0);

  const missing = (await loader.show(pid)).mappings.filter((m) => m.table && !m.loaded);
  // the smallest library: its table is the likeliest to fit into the budget once another has gone
  const [own] = filesOf(pid)
    .filter((file) => /\/lib\w*\.so/.test(file.path) || file.path.includes("/ld-linux"))
    .filter((file) => missing.some((m) => hex(m.begin) === file.begin))
    .sort((a, b) => statSync(a.path).size - statSync(b.path).size);
  const wanted = missing.find((m) => hex(m.begin) === own?.begin);
  expect(wanted).toBeDefined();
  await loader.cut(pid, "table not loaded", hex(wanted!.begin));
  await loader.until(pid, 2_000, ({ mappings }) =>
    mappings.some((m) => m.begin === wanted!.begin && m.loaded),
  );
  const then = await loader.facts();
  expect(then.losses["unwind.tables_evicted"]).toBeGreaterThan(0);
  expect(then.tableBytes).toBeLessThanOrEqual(budget);
  expect(then.reread).toBe(1);
});

test("walks from outside: whole with no table in the kernel, and no frame once their time is up", async () => {
  const program = await startProgram("deep-sleepers", { args: ["--threads", "1"] });
  running.push(program.child);
  await sleep(200);
  const tid = readdirSync(`/proc/${program.pid}/task`)
    .map(Number)
    .find((id) => id !== program.pid)!;
  const loader = await Loader.start("--bytes", "4096");
  const walk = await loader.outside(program.pid, tid, 1_000);
  expect(USER_STACK_ENDS[walk.stop]).toBe("whole");
  // read, at_the_bottom, 21 of go_down, sleeper, the C library's start of a thread
  expect(walk.frames.length).toBeGreaterThanOrEqual(25);
  const late = await loader.outside(program.pid, tid, 0);
  expect(USER_STACK_ENDS[late.stop]).toBe("out of time");
  expect(late.frames).toEqual([]);
  // the vdso's, if any
  expect((await loader.facts()).tableBytes).toBeLessThanOrEqual(4096);
});
