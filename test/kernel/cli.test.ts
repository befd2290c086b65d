// The real command on this machine: every way to end a recording, what is kept, and that nothing stays in the kernel.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readCapture } from "../../src/capture/file/reader.js";
import { Child } from "../support/children.js";
import { repositoryRoot } from "../support/paths.js";

const root = repositoryRoot();
const main = join(root, "dist/cli/main.js");
let dir: string;

beforeAll(() => {
  // The command as it is in src/ now; types are checked elsewhere.
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--noCheck"], {
    cwd: root,
  });
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "lowflame-kernel-"));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const path = (name: string) => join(dir, name);
const start = (...args: string[]) => Child.start([process.execPath, main, ...args], { cwd: dir });

function run(...args: string[]) {
  const done = spawnSync(process.execPath, [main, ...args], { cwd: dir, encoding: "utf8", timeout: 60_000 });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

/** Runs a shell line with $LOWFLAME standing for the command. */
function shell(line: string) {
  const env = { ...process.env, LOWFLAME: `${process.execPath} ${main}` };
  const done = spawnSync("bash", ["-o", "pipefail", "-c", line], {
    cwd: dir,
    encoding: "utf8",
    env,
    timeout: 60_000,
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}

/** Ids of the BPF programs that a capture says were loaded for it, and how it ended. */
async function factsOf(capture: string) {
  const programs: number[] = [];
  let end = "";
  let batches = 0;
  for await (const event of readCapture(capture)) {
    if (event.type === "header") programs.push(...event.start.programs.map((program) => program.id));
    if (event.type === "batch") batches++;
    if (event.type === "end") end = event.endReason;
  }
  return { programs, end, batches };
}

/** Which of these programs the kernel still has. */
function stillLoaded(ids: readonly number[]): number[] {
  return ids.filter((id) => spawnSync("bpftool", ["prog", "show", "id", `${id}`]).status === 0);
}

const partial = () => readdirSync(dir).find((name) => name.startsWith("lowflame-partial-"));

/** Waits until the recording has written something to its partial capture. */
const partialSize = (): number => {
  const name = partial();
  return name !== undefined && existsSync(path(name)) ? statSync(path(name)).size : 0;
};
const recording = (child: Child) =>
  child.until(
    // its header comes when all is attached
    () => child.running && partialSize() > 0,
    30_000,
    "a partial capture",
  );

describe("lowflame record", () => {
  it("writes every format, and report makes them again from the capture", async () => {
    const formats = ["html", "folded", "pb.gz", "speedscope.json"];
    const files = (stem: string) => formats.flatMap((format) => ["-o", `${stem}.${format}`]);
    expect(run("record", "-d", "1s", "-o", "a.lowflame", ...files("a"))).toMatchObject({ code: 0 });
    expect(run("report", "a.lowflame", ...files("b"))).toMatchObject({ code: 0 });
    const names = readdirSync(dir);
    for (const name of names.filter((each) => each.startsWith("a.") && each !== "a.lowflame")) {
      expect(names).toContain(name.replace(/^a/, "b"));
    }
    expect(names).toHaveLength(1 + 2 * 6);
    const { programs, end, batches } = await factsOf(path("a.lowflame"));
    expect(programs.length).toBeGreaterThan(0);
    expect(batches).toBeGreaterThan(0);
    expect(end).toBe("duration");
    expect(stillLoaded(programs)).toEqual([]);
  });

  it.each([
    ["SIGINT", 0, "interrupted"],
    ["SIGTERM", 143, "interrupted by SIGTERM"],
    ["SIGHUP", 129, "interrupted by SIGHUP"],
  ] as const)(
    "keeps what was recorded at %s and leaves nothing in the kernel",
    async (signal, code, reason) => {
      const child = start("record", "-d", "1h", "-o", "r.lowflame");
      await recording(child);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(await child.stop(signal, 15_000)).toEqual({ code, signal: null });
      const facts = await factsOf(path("r.lowflame"));
      expect(facts.end).toBe(reason);
      expect(facts.batches).toBeGreaterThan(0);
      expect(stillLoaded(facts.programs)).toEqual([]);
      expect(readdirSync(dir)).toEqual(["r.lowflame"]);
    },
  );

  it("after kill -9 the partial capture can be reported from, and nothing stays in the kernel", async () => {
    const child = start("record", "-d", "1h", "-o", "r.html");
    await recording(child);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const left = partial()!;
    const { programs } = await factsOf(path(left)); // the header is on the disk while it records
    expect(stillLoaded(programs)).toEqual(programs);
    await child.stop("SIGKILL");
    expect(run("report", left, "-o", "saved.html").code).toBe(7);
    expect(readdirSync(dir)).toContain("saved.html");
    // The kernel frees programs a moment after their last descriptor is closed.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(stillLoaded(programs)).toEqual([]);
  });

  it("ends when the process of --pid ends", async () => {
    const target = Child.start(["sleep", "2"]);
    const done = run("record", "-d", "1h", "--pid", `${target.pid}`, "--json", "-o", "r.html");
    expect(done.code).toBe(0);
    expect(JSON.parse(done.out)).toMatchObject({ recording: { endReason: "target exited" } });
  });

  it("runs a command and passes its output and exit code on; --verbose tells what is attached and what names took", () => {
    const command = ["sh", "-c", "echo from the command; sleep 0.5; exit 9"];
    const done = run("record", "--verbose", "-o", "r.html", "--", ...command);
    expect(done.code).toBe(9);
    expect(done.out).toContain("from the command\n");
    expect(done.out).toContain("The command exited with 9.");
    expect(done.err).toMatch(/lf_switch_out on tp_btf\/sched_switch/);
    // of the machine's own processes: names, files, and what their tables take
    expect(done.err).toMatch(
      /names: [\d,]{2,} found, [\d,]+ not; \d+ files opened, tables of [1-9][\d.]* [KM]iB/,
    );
  });

  it("gives up at the second Ctrl-C: 130 at once, nothing stays in the kernel", async () => {
    const child = start("record", "-d", "1h", "-o", "r.lowflame", "--", "sh", "-c", "trap '' INT; sleep 20");
    await recording(child);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    child.signal("SIGINT");
    await child.until(
      () => child.stderr.includes("waiting for the command"),
      15_000,
      "the end of the recording",
    );
    await new Promise((resolve) => setTimeout(resolve, 300)); // as slow as a hand
    child.signal("SIGINT");
    await child.until(() => child.stderr.includes("given up"), 5_000, "the giving up");
    expect((await child.exited).code).toBe(130);
    expect(stillLoaded((await factsOf(path("r.lowflame"))).programs)).toEqual([]);
  });

  it("works twice at the same time", async () => {
    const both = [
      start("record", "-d", "2s", "-o", "one.lowflame"),
      start("record", "-d", "2s", "-o", "two.lowflame"),
    ];
    for (const child of both) expect((await child.exited).code).toBe(0);
    for (const name of ["one.lowflame", "two.lowflame"]) {
      expect((await factsOf(path(name))).batches).toBeGreaterThan(0);
    }
  });

  it("tells a disk that fills up in one line, exits 5 and keeps what fitted", async () => {
    const disk = path("disk");
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", disk]);
    try {
      const done = run("record", "-d", "40s", "-F", "999", "-o", "disk/r.lowflame");
      expect(done.code).toBe(5);
      expect(done.err.match(/^lowflame: .*no space is left on that disk$/gm)).toHaveLength(1);
      const kept = readdirSync(disk);
      expect(kept).toEqual([expect.stringMatching(/^lowflame-partial-/)]);
      expect(done.err).toContain(kept[0]);
      expect((await factsOf(join(disk, kept[0]!))).programs.length).toBeGreaterThan(0);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("without capabilities says what to do in one line and exits 3", () => {
    const bare = "setpriv --bounding-set=-all --inh-caps=-all";
    const done = shell(`${bare} $LOWFLAME record -d 1s -o r.html`);
    expect(done.code).toBe(3);
    expect(done.err).toMatch(/^lowflame: [^\n]+\n( {2}[^\n]+\n)?$/);
    expect(readdirSync(dir)).toEqual([]);
    const doctor = shell(`${bare} $LOWFLAME doctor`);
    expect(doctor.code).toBe(1);
    expect(doctor.out).toContain("CAP_BPF");
  });

  it("says in one line that the kernel has no BTF, and doctor names the remedy", () => {
    const hide = "mount -t tmpfs none /sys/kernel/btf &&";
    const done = shell(`unshare -m sh -c '${hide} $LOWFLAME record -q -d 1s -o r.html'`);
    expect(done.code).toBe(3);
    expect(done.err).toMatch(/^lowflame: [^\n]*BTF[^\n]*\n( {2}[^\n]+\n)?$/);
    expect(readdirSync(dir)).toEqual([]);
    const doctor = shell(`unshare -m sh -c '${hide} $LOWFLAME doctor'`);
    expect(doctor.code).toBe(1);
    expect(doctor.out).toContain("CONFIG_DEBUG_INFO_BTF=y");
  });

  it("works without tracefs, and doctor says that it is not mounted", () => {
    const away = "umount -l /sys/kernel/debug/tracing 2>/dev/null; umount -l /sys/kernel/tracing;";
    const done = shell(`unshare -m sh -c '${away} $LOWFLAME doctor && $LOWFLAME record -q -d 1s -o r.html'`);
    expect(done).toMatchObject({ code: 0 });
    expect(done.out).toMatch(/degraded\s+tracefs\s+not mounted/);
    expect(readdirSync(dir)).toEqual(["r.html"]);
  });
});

describe("lowflame doctor", () => {
  it("exits 0 here, where record works, and its JSON agrees", () => {
    const done = run("doctor", "--json");
    expect(done.code).toBe(0);
    const document = JSON.parse(done.out);
    expect(document.ok).toBe(true);
    expect(document.rows.some((row: { id: string }) => row.id === "btf")).toBe(true);
  });

  it("warns in a pid namespace of its own", () => {
    const done = shell("unshare -pf --mount-proc $LOWFLAME doctor");
    expect(done.out).toMatch(/degraded\s+pid namespace/);
    expect(done.out).toContain("--pid=host");
  });

  it("refuses --pid there: the kernel would filter by other pids", () => {
    const done = shell("unshare -pf --mount-proc $LOWFLAME record -q -d 1s --pid 1 -o r.html");
    expect(done.code).toBe(4);
    expect(done.err).toMatch(/pid namespace/);
  });

  it("does not mind a reader that goes away", () => {
    const done = shell("$LOWFLAME record --help | head -1 && $LOWFLAME doctor | head -1");
    expect(done.code).toBe(0);
    expect(done.err).toBe("");
  });
});
