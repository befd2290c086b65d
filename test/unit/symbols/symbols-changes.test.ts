// Names by what was mapped when a sample was taken: processes that are gone but for their records, and addresses that
// have belonged to one file after another.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Child } from "../../support/children.js";
import { BUILD_MS, buildDriver, compileNamed, Naming, startNamed } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-changes-"));
let file = "";
beforeAll(() => {
  buildDriver();
  file = compileNamed(join(dir, "parent"));
}, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** No process has such an id (pid_max is 2^22 at most). */
const NOBODY = 4_194_305;
const SECOND = 1_000_000_000;
/** CLOCK_MONOTONIC, nanoseconds. */
const monotonicNs = () => Number(process.hrtime.bigint());

/** An executable mapping of a process as /proc tells it, and as a record does. */
function textOf(pid: number, path: string) {
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const m = /^(\w+)-(\w+) r-xp (\w+) (\w+:\w+) (\d+) +(.*)$/.exec(line);
    if (m?.[6] === path) return { begin: m[1]!, end: m[2]!, offset: m[3]!, device: m[4]!, inode: m[5]! };
  }
  throw new Error(`${pid} has no ${path}`);
}

test("a child that forked and is gone has its parent's names, whoever was asked for first", async () => {
  const program = await startNamed([file]);
  for (const alsoPid of [undefined, program.pid]) {
    const now = monotonicNs();
    const child = await Naming.start(NOBODY, [program.at.exported!, program.at.local!], {
      startNs: BigInt(now),
      records: [`fork ${NOBODY} ${program.pid} ${now + 20_000}`],
      ...(alsoPid && { alsoPid }),
    });
    expect(child.located.map((l) => l.module)).toEqual([file, file]);
    expect(await child.names()).toEqual(["exported_function", "local_function(int)"]);
    expect(await child.end()).toMatchObject({ processesGone: 0, filesOpened: 1 });
  }
  await program.child.stop();
});

test("a child of a child, both gone; but not of who has its parent's id by now", async () => {
  const program = await startNamed([file]);
  const now = monotonicNs();
  const nameOf = async (forkedNs: number) => {
    const naming = await Naming.start(NOBODY, [program.at.exported!], {
      startNs: BigInt(now),
      records: [
        `fork ${NOBODY + 1} ${program.pid} ${forkedNs}`,
        `fork ${NOBODY} ${NOBODY + 1} ${now + 1000}`,
        `exit ${NOBODY} ${now + 2000}`,
        `exit ${NOBODY + 1} ${now + 3000}`,
      ],
    });
    const [name] = await naming.names();
    await naming.stop();
    return name;
  };
  expect(await nameOf(now)).toBe("exported_function");
  expect(await nameOf(now - 20 * SECOND)).toBe(""); // before the program was started
  await program.child.stop();
});

test("what a child has mapped itself goes before its parent's; an exec ends what it had from it, but not for samples of before", async () => {
  const program = await startNamed([file]);
  const other = join(dir, "other");
  copyFileSync("/bin/ls", other);
  const text = textOf(program.pid, file);
  const now = monotonicNs();
  const inode = statSync(other).ino;
  const naming = await Naming.start(NOBODY, [program.at.exported!], {
    startNs: BigInt(now),
    records: [
      `fork ${NOBODY} ${program.pid} ${now + 1000}`,
      `map ${NOBODY} ${now + 5000} ${text.begin} ${text.end} 0 ${text.device} ${inode} ${other}`,
      `execed ${NOBODY} ${now + 9000}`,
      `at ${now + 2000}`,
    ],
  });
  const moduleAt = async (ns: number) => {
    naming.tell(`at ${ns}`);
    return (await naming.again("locate")).located[0]!.module;
  };
  expect(naming.located[0]!.module).toBe(file);
  expect(await moduleAt(now + 6000)).toBe(other);
  expect(await moduleAt(now + 8999)).toBe(other);
  expect(await moduleAt(now + 4999)).toBe(file);
  expect(await moduleAt(now + 9000)).toBe("[unknown]");
  await naming.stop();
  await program.child.stop();
});

const OPENS = `
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int main(void) {
  char file[4096];
  void* library = NULL;
  while (fgets(file, sizeof(file), stdin)) {
    if (library) dlclose(library);
    library = dlopen(strtok(file, "\\n"), RTLD_NOW);
    printf("%lx\\n", (unsigned long)dlsym(library, "_entry"));
    fflush(stdout);
  }
}
`;
function compile(name: string, source: string, ...flags: string[]): string {
  const out = join(dir, name);
  writeFileSync(`${out}.c`, source);
  execFileSync("gcc", ["-O1", "-w", `${out}.c`, "-o", out, "-ldl", ...flags]);
  return out;
}
/** A library whose one function is called so, and is found as `_entry`. */
const library = (file: string, name: string) =>
  compile(
    file,
    `int ${name}(void) { return 1; } int _entry(void) __attribute__((alias("${name}")));`,
    "-shared",
    "-fPIC",
  );
/** Opens one library after the other, and closes the one before. */
async function startOpening() {
  const child = Child.start([compile("opens", OPENS)]);
  let opened = 0;
  return {
    child,
    pid: child.pid,
    /** The address of its function, and its text. */
    async open(path: string) {
      child.write(`${path}\n`);
      opened++;
      await child.until(() => child.stdout.split("\n").length > opened, 5000, path);
      const at = child.stdout.split("\n")[opened - 1]!;
      return { at, text: textOf(child.pid, path) };
    },
  };
}
const mapRecord = (pid: number, path: string, { text }: { text: ReturnType<typeof textOf> }, ns: number) =>
  `map ${pid} ${ns} ${text.begin} ${text.end} ${text.offset} ${text.device} ${text.inode} ${path}`;

test("a library that was closed before its first name was asked for has its own names, not those of who has its addresses", async () => {
  const program = await startOpening();
  const [first, second] = [library("first.so", "work_of_first"), library("second.so", "work_of_second")];
  const one = await program.open(first);
  const two = await program.open(second);
  expect([two.at, two.text.begin]).toEqual([one.at, one.text.begin]); // else this tests nothing
  const naming = await Naming.start(program.pid, [one.at]);
  expect(naming.located[0]!.module).toBe(second);
  // the first one was there again
  const now = monotonicNs();
  naming.tell(mapRecord(program.pid, first, one, now), mapRecord(program.pid, second, two, now + 1000));
  const at = async (ns: number) => {
    naming.tell(`at ${ns}`);
    const { located, names } = await naming.again("locate");
    return [located[0]!.module, names[0]];
  };
  expect(await at(now)).toEqual([first, "work_of_first"]);
  expect(await at(now + 1000)).toEqual([second, "work_of_second"]);
  expect(await at(now - 1)).toEqual([second, "work_of_second"]);
  await naming.stop();
  await program.child.stop("SIGKILL");
});

test("a library that was written over in place and opened again: its new names, also with the old build ID and size", async () => {
  const program = await startOpening();
  const path = library("rewritten.so", "work_of_former");
  const other = library("between.so", "work_between");
  const one = await program.open(path);
  const naming = await Naming.start(program.pid, [one.at]);
  expect(await naming.names()).toEqual(["work_of_former"]);
  await program.open(other);
  const edited = readFileSync(path, "latin1").replaceAll("work_of_former", "work_of_latter");
  writeFileSync(path, edited, "latin1");
  const again = await program.open(path);
  expect([again.at, again.text]).toEqual([one.at, one.text]); // else this tests nothing
  const now = monotonicNs();
  naming.tell(mapRecord(program.pid, path, again, now), `at ${now}`);
  const after = await naming.again("locate");
  expect(after.names).toEqual(["work_of_latter"]);
  expect(after.located[0]!.moduleId).not.toBe(naming.located[0]!.moduleId);
  // whoever asks for a sample of before gets no name rather than that one
  naming.tell(`at ${now - 1}`);
  const before = await naming.again("locate");
  expect(before.located[0]!.moduleId).toBe(naming.located[0]!.moduleId);
  expect(before.names).toEqual([""]);
  await naming.stop();
  await program.child.stop("SIGKILL");
});

test("a library at the addresses of another: each has its name by the time of the sample", async () => {
  const program = await startNamed([file]);
  const text = textOf(program.pid, file);
  const other = join(dir, "library");
  copyFileSync("/bin/ls", other);
  const [begin, end] = [Number.parseInt(text.begin, 16), Number.parseInt(text.end, 16)];
  const at = Number.parseInt(program.at.exported!, 16);
  const page = at - (at % 4096);
  const addresses = [at, begin, end - 1].map((a) => a.toString(16));
  const naming = await Naming.start(program.pid, addresses);
  expect(naming.located.map((l) => l.module)).toEqual([file, file, file]);
  const changed = monotonicNs();
  // one page in the middle, and later the old file is back
  const hex = (n: number) => n.toString(16);
  const offset = hex(Number.parseInt(text.offset, 16) + page - begin);
  naming.tell(
    `map ${program.pid} ${changed} ${hex(page)} ${hex(page + 4096)} 0 ${text.device} ${statSync(other).ino} ${other}`,
    `map ${program.pid} ${changed + SECOND} ${hex(page)} ${hex(page + 4096)} ${offset} ${text.device} ${text.inode} ${file}`,
  );
  const modulesAt = async (ns: number) => {
    naming.tell(`at ${ns}`);
    return (await naming.again("locate")).located.map((l) => l.module);
  };
  const rest = (a: number) => (a >= page && a < page + 4096 ? other : file);
  const between = [other, rest(begin), rest(end - 1)];
  expect(await modulesAt(changed + 1)).toEqual(between);
  expect(await modulesAt(changed - 1)).toEqual([file, file, file]);
  expect(await modulesAt(changed + SECOND - 1)).toEqual(between);
  expect(await modulesAt(changed + SECOND)).toEqual([file, file, file]);
  const { located, names } = await naming.again("locate");
  expect(located[0]!.offset).toBe(naming.located[0]!.offset);
  expect(names[0]).toBe("exported_function");
  await naming.stop();
  await program.child.stop();
});
