// Names in processes: while they live and after they ended, whatever way they were linked.
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Child } from "../../support/children.js";
import { BUILD_MS, buildDriver, compileNamed, Naming, startNamed } from "./driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-symbols-"));
beforeAll(buildDriver, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const NAMES = {
  exported: "exported_function",
  aliased: "plain_name",
  ifunc: "by_ifunc_implementation",
  unsized: "asm_without_size",
  member: "proxy::Upstream<int>::connect(int)",
  local: "local_function(int)",
} as const;

describe.each([
  ["position-independent", []],
  ["at a fixed address", ["-no-pie"]],
  ["linked statically", ["-static"]],
  ["whose code and data share a page", ["-Wl,-z,noseparate-code"]],
])("a program %s", (title, flags) => {
  test("has names while it lives and after its end", async () => {
    const file = compileNamed(join(dir, title.replace(/\W/g, "-")), flags);
    const program = await startNamed([file]);
    const addresses = Object.keys(NAMES).map((key) => program.at[key]!);
    const naming = await Naming.start(program.pid, addresses);
    for (const location of naming.located) {
      expect(location).toMatchObject({ module: file, kind: "user" });
      expect(location.buildId).toMatch(/^[0-9a-f]{40}$/);
    }
    expect(await naming.names()).toEqual(Object.values(NAMES));
    await program.child.stop();
    expect(await naming.names()).toEqual(Object.values(NAMES));
    expect(await naming.end()).toMatchObject({ filesFailed: 0, processesGone: 0 });
  });
});

test("a program that ended before its first name was asked for, and whose file was deleted, has names", async () => {
  const file = compileNamed(join(dir, "deleted"));
  const program = await startNamed([file]);
  unlinkSync(file);
  const naming = await Naming.start(program.pid, [program.at.local!]);
  await program.child.stop();
  expect(naming.located[0]!.module).toBe(file); // without the kernel's " (deleted)"
  expect(await naming.names()).toEqual([NAMES.local]);
  await naming.stop();
});

test("a file that was replaced by another one under the same path does not lend its names", async () => {
  const file = compileNamed(join(dir, "upgraded"));
  const program = await startNamed([file]);
  unlinkSync(file);
  copyFileSync("/bin/ls", file);
  const naming = await Naming.start(program.pid, [program.at.exported!]);
  expect(await naming.names()).toEqual([NAMES.exported]);
  await naming.stop();
  await program.child.stop();
});

test("a file that is written over after it was parsed gives no names rather than wrong ones", async () => {
  const file = compileNamed(join(dir, "overwritten"));
  const program = await startNamed([file]);
  const naming = await Naming.start(program.pid, [program.at.exported!, program.at.local!]);
  await program.child.stop(); // a running program cannot be written to, a library can
  expect(await naming.names()).toEqual([NAMES.exported, NAMES.local]);
  const other = readFileSync(file, "latin1").replaceAll("exported_function", "something_else_xx");
  writeFileSync(file, other, "latin1");
  expect(await naming.names()).toEqual(["", ""]);
  expect(await naming.end()).toMatchObject({ filesChanged: 1 });
});

test("a file whose time alone has changed keeps its names and its lines", async () => {
  const file = compileNamed(join(dir, "touched"), ["-g"]);
  const program = await startNamed([file]);
  const naming = await Naming.start(program.pid, [program.at.exported!, program.at.local!]);
  utimesSync(file, 1_000_000_000, 1_000_000_000);
  expect(await naming.names()).toEqual([NAMES.exported, NAMES.local]);
  utimesSync(file, 1_000_000_001, 1_000_000_001);
  expect(await naming.names()).toEqual([NAMES.exported, NAMES.local]);
  const places = (await naming.places()).map(([place]) => place?.file.replace(/.*\//, ""));
  expect(places).toEqual(["named.cc", "named.cc"]);
  expect(await naming.end()).toMatchObject({ filesChanged: 0 });
  await program.child.stop();
});

test("the vdso has names", async () => {
  const program = await startNamed([compileNamed(join(dir, "vdso"))]);
  const naming = await Naming.start(program.pid, [program.at.vdso!]);
  expect(naming.located[0]).toMatchObject({ module: "[vdso]", kind: "vdso" });
  expect((await naming.names())[0]).toMatch(/^(__vdso_)?clock_gettime$/);
  await naming.stop();
  await program.child.stop();
});

test("memory without a file is code made at run time; data and nonsense are nowhere", async () => {
  const program = await startNamed([compileNamed(join(dir, "anonymous")), "--jit", "--memfd"]);
  const naming = await Naming.start(program.pid, [
    program.at["--jit"]!,
    program.at["--memfd"]!,
    program.at.heap!,
    "1",
  ]);
  expect(naming.located.map((l) => l.kind)).toEqual(["jit", "jit", "unknown", "unknown"]);
  expect(await naming.names()).toEqual(["", "", "", ""]);
  await naming.stop();
  await program.child.stop();
});

test("a process that is gone at first sight is counted", async () => {
  const program = await startNamed([compileNamed(join(dir, "gone"))]);
  await program.child.stop();
  const naming = await Naming.start(program.pid, [program.at.exported!]);
  expect(naming.located[0]!.kind).toBe("unknown");
  expect(await naming.end()).toMatchObject({ processesGone: 1, filesOpened: 0 });
});

test("a pid that came again does not name the frames of its last owner", async () => {
  const program = await startNamed([compileNamed(join(dir, "reused"))]);
  const ticks = Number(readFileSync(`/proc/${program.pid}/stat`, "utf8").split(") ")[1]!.split(" ")[19]);
  const startNs = BigInt(ticks) * 10_000_000n;
  const own = await Naming.start(program.pid, [program.at.exported!], { startNs });
  expect(await own.names()).toEqual([NAMES.exported]);
  await own.stop();
  const later = await Naming.start(program.pid, [program.at.exported!], {
    startNs: startNs + 1_000_000_000n,
  });
  expect(later.located[0]!.kind).toBe("unknown");
  expect(await later.end()).toMatchObject({ processesGone: 1 });
  await program.child.stop();
});

test("after an exec the addresses are the new program's", async () => {
  const file = compileNamed(join(dir, "after-exec"), ["-no-pie"]);
  const rehearsal = await startNamed([file]);
  const { exported, local } = rehearsal.at; // the same every time
  await rehearsal.child.stop();

  const program = Child.start(["sh", "-c", 'read line; exec "$0"', file]);
  await program.until(() => readFileSync(`/proc/${program.pid}/comm`, "utf8") === "sh\n", 5000, "shell");
  const naming = await Naming.start(program.pid, [exported!, local!]);
  expect(naming.located.map((l) => l.kind)).toEqual(["unknown", "unknown"]);
  program.write("\n");
  await program.until(() => program.stdout.includes("}"), 5000, "the program after the exec");
  const after = await naming.again("exec");
  expect(after.names).toEqual([NAMES.exported, NAMES.local]);
  expect(after.located[0]!.module).toBe(file);
  await naming.stop();
  await program.stop();
});

test("processes of one program, or of a copy of it elsewhere, share one open file", async () => {
  const file = compileNamed(join(dir, "shared"), ["-no-pie"]);
  copyFileSync(file, join(dir, "copy-of-shared"));
  const first = await startNamed([file]);
  const addresses = [first.at.exported!, first.at.member!, first.at.local!];
  for (const other of [file, join(dir, "copy-of-shared")]) {
    const second = await startNamed([other]);
    const naming = await Naming.start(first.pid, addresses, { alsoPid: second.pid });
    expect(await naming.names()).toEqual([NAMES.exported, NAMES.member, NAMES.local]);
    expect(await naming.end()).toMatchObject({ filesOpened: 1 });
    await second.child.stop();
  }
  await first.child.stop();
});
