// Kernel names against /proc/kallsyms itself, and processes in a root and pid namespace of their own. Wants root.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startBpfHog } from "../support/bpf-hog.js";
import { Child } from "../support/children.js";
import {
  BUILD_MS,
  buildDriver,
  compileNamed,
  DRIVER,
  kernelNames,
  Naming,
  startNamed,
} from "../unit/symbols/driver.js";

const dir = mkdtempSync(join(tmpdir(), "lowflame-symbols-root-"));
beforeAll(() => {
  buildDriver();
  chmodSync(dir, 0o755);
}, BUILD_MS);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface KernelSymbol {
  readonly address: string;
  readonly name: string;
  /** "" = the kernel proper */
  readonly module: string;
}
function kallsyms(): KernelSymbol[] {
  const text = readFileSync("/proc/kallsyms", "utf8");
  return [...text.matchAll(/^([0-9a-f]+) [tTwW] (\S+)(?:\t\[(\S+)\])?$/gm)].map((m) => ({
    address: m[1]!.replace(/^0+/, ""),
    name: m[2]!,
    module: m[3] ?? "",
  }));
}

describe("kernel names", () => {
  test("every 200th function of the kernel, and of each module and BPF program", () => {
    const all = kallsyms();
    const names = new Map<string, string[]>();
    for (const s of all) names.set(s.address, [...(names.get(s.address) ?? []), s.name]);
    const sample = all.filter((s, i) => i % 200 === 0 || (s.module !== "" && i % 5 === 0));
    expect(sample.length).toBeGreaterThan(100);
    const got = kernelNames(sample.map((s) => s.address));
    for (const [i, s] of sample.entries()) {
      expect(names.get(s.address)).toContain(got.names[i]);
      expect(got.located[i]).toMatchObject({
        kind: s.module === "bpf" ? "bpf" : "kernel",
        module: `[${s.module || "kernel"}]`,
        offset: s.address,
      });
    }
  });

  test("a BPF program of another tool is named by its tag and name, in the module [bpf]", async () => {
    const before = new Set(kallsyms().map((k) => k.name));
    const hog = await startBpfHog({ ms: 3000, loops: 10 });
    try {
      const programs = kallsyms().filter((s) => s.module === "bpf" && s.name.startsWith("bpf_prog_"));
      expect(programs.length).toBeGreaterThan(0);
      const inside = programs.map((s) => (BigInt(`0x${s.address}`) + 4n).toString(16));
      const got = kernelNames(inside);
      expect(got.names).toEqual(programs.map((s) => s.name));
      for (const l of got.located) expect(l).toMatchObject({ kind: "bpf", module: "[bpf]" });
      const theirs = got.names.filter((name) => !before.has(name));
      expect(theirs.length).toBeGreaterThan(0);
      for (const name of theirs) expect(name).toMatch(/^bpf_prog_[0-9a-f]{16}_\w+$/);
    } finally {
      await hog.stop();
    }
  });

  test("nonsense has no name", () => {
    expect(kernelNames(["ffffffffffffffff", "ffff800000000000", "0"]).names).toEqual(["", "", ""]);
  });

  test("where addresses are hidden there are no names, and no wrong ones; the address stays", () => {
    const { address } = kallsyms().find((s) => s.name === "vfs_read")!;
    const nobody = join(dir, "driver");
    cpSync(DRIVER, nobody);
    const as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", nobody];
    const run = (args: string[]) =>
      execFileSync(as[0]!, [...as.slice(1), ...args], { encoding: "utf8" }).split("\n");
    const [located, named] = run(["--kernel", address]).map((line) => (line ? JSON.parse(line) : undefined));
    expect(located.located[0]).toMatchObject({ kind: "kernel", module: "[kernel]", offset: address });
    expect(named.names).toEqual([""]);
    expect(JSON.parse(run(["--address", "vfs_read"])[0]!).address).toBe("0");
  });

  test("the address of a symbol by its name", () => {
    const { address } = kallsyms().find((s) => s.name === "vfs_read")!;
    const out = execFileSync(DRIVER, ["--address", "vfs_read", "no_such_symbol"], { encoding: "utf8" });
    expect(out).toBe(`{"address":"${address}"}\n{"address":"0"}\n`);
  });
});

describe("copies of one program, with its build ID and its size", () => {
  /** A copy of the program that calls one function otherwise, as it belongs to a user. */
  function edited(of: string, to: string, uid: number, mode = 0o755): string {
    const text = readFileSync(of, "latin1").replaceAll("exported_function", "another_namexxxxx");
    writeFileSync(to, text, "latin1");
    chownSync(to, uid, uid);
    chmodSync(to, mode);
    return to;
  }
  /** Names of the program's function, and files opened, when the copy was there before. */
  async function namesBeside(program: string, copy: string) {
    const [real, other] = [await startNamed([program]), await startNamed([copy])];
    const naming = await Naming.start(real.pid, [real.at.exported!], { alsoPid: other.pid });
    const [name] = await naming.names();
    const { filesOpened } = await naming.end();
    for (const { child } of [real, other]) await child.stop();
    return { name, filesOpened };
  }

  test("another user's does not lend its names, nor one that others may write; root's is the same file", async () => {
    const program = compileNamed(join(dir, "real"), ["-no-pie", "-Wl,--build-id=sha1"]);
    chmodSync(program, 0o755);
    const theirs = edited(program, join(dir, "theirs"), 12345);
    const open = edited(program, join(dir, "open"), 0, 0o777);
    for (const copy of [theirs, open])
      expect(await namesBeside(program, copy)).toEqual({ name: "exported_function", filesOpened: 2 });
    const roots = join(dir, "roots");
    cpSync(program, roots);
    expect(await namesBeside(program, roots)).toEqual({ name: "exported_function", filesOpened: 1 });
    // two of one user are one as well
    const again = join(dir, "theirs-again");
    cpSync(theirs, again);
    chownSync(again, 12345, 12345);
    expect(await namesBeside(theirs, again)).toEqual({ name: "another_namexxxxx", filesOpened: 1 });
  });
});

describe("in a container: another root, another pid namespace", () => {
  /** A root folder with a static program in it; `run` starts it there as pid 1. */
  function container(name: string, strip: boolean) {
    const root = join(dir, name);
    for (const folder of ["old", "tmp", "app"]) mkdirSync(join(root, folder), { recursive: true });
    const whole = compileNamed(join(dir, `${name}-whole`), ["-static", "-Wl,--build-id=sha1"]);
    const file = join(root, "app/server");
    execFileSync("objcopy", [...(strip ? ["--strip-all"] : []), whole, file]);
    return {
      root,
      whole,
      async run(...args: string[]) {
        // as container runtimes do: a mount namespace whose root is the folder, so that paths are told from there
        const enter = 'mount --bind "$0" "$0" && cd "$0" && pivot_root . old && exec /app/server "$@"';
        const namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
        const command = [...namespaces, "sh", "-c", enter, root, ...args];
        const started = await startNamed(command);
        const children = readFileSync(`/proc/${started.pid}/task/${started.pid}/children`, "utf8");
        return { ...started, pid: Number(children.trim().split(" ")[0]) };
      },
    };
  }

  test("its files are found below its own root, the path is as it sees it", async () => {
    const { run } = container("plain", false);
    const program = await run();
    const naming = await Naming.start(program.pid, [program.at.exported!, program.at.member!]);
    expect(naming.located[0]!.module).toBe("/app/server");
    await program.child.stop("SIGKILL");
    expect(await naming.names()).toEqual(["exported_function", "proxy::Upstream<int>::connect(int)"]);
    await naming.stop();
  });

  test("its debug file by build ID comes from its own root, after its end too, if it is the owner's or root's", async () => {
    const { root, run, whole } = container("debug", true);
    const id = /Build ID: ([0-9a-f]+)/.exec(
      execFileSync("readelf", ["-n", whole], { encoding: "utf8" }),
    )![1]!;
    const debug = join(root, `usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`);
    expect(existsSync(join("/", debug.slice(root.length)))).toBe(false);
    mkdirSync(dirname(debug), { recursive: true });
    execFileSync("objcopy", ["--only-keep-debug", whole, debug]);
    const program = await run();
    chownSync(debug, 12345, 12345);
    const planted = await Naming.start(program.pid, [program.at.local!]);
    expect(await planted.names()).toEqual([""]);
    await planted.stop();
    chownSync(debug, 0, 0);
    const naming = await Naming.start(program.pid, [program.at.exported!, program.at.local!]);
    expect(naming.located[0]!.buildId).toBe(id);
    await program.child.stop("SIGKILL");
    expect(await naming.names()).toEqual(["exported_function", "local_function(int)"]);
    await naming.stop();
  });

  test("its perf map is named by the pid that it has itself", async () => {
    const { root, run } = container("jit", false);
    const program = await run("--jit");
    writeFileSync(join(root, "tmp/perf-1.map"), `${program.at["--jit"]} 40 LazyCompile:*inside\n`);
    const naming = await Naming.start(program.pid, [program.at["--jit"]!]);
    await program.child.stop("SIGKILL");
    expect(await naming.names()).toEqual(["LazyCompile:*inside"]);
    await naming.stop();
  });

  test("a link in its /tmp cannot make us read a file of the host", async () => {
    const { root, run } = container("link", false);
    const program = await run("--jit");
    const secret = join(dir, "secret");
    writeFileSync(secret, `${program.at["--jit"]} 40 secret of the host\n`);
    symlinkSync(secret, join(root, "tmp/perf-1.map"));
    const naming = await Naming.start(program.pid, [program.at["--jit"]!]);
    expect(await naming.names()).toEqual([""]);
    await naming.stop();
    await program.child.stop("SIGKILL");
  });

  test("nor to another one below its root, nor can a link in place of its /tmp", async () => {
    const { root, run } = container("inner-link", false);
    const program = await run("--jit");
    const other = join(root, "app/other");
    mkdirSync(other);
    writeFileSync(join(other, "perf-1.map"), `${program.at["--jit"]} 40 planted\n`);
    const expectNothing = async () => {
      const naming = await Naming.start(program.pid, [program.at["--jit"]!]);
      expect(await naming.names()).toEqual([""]);
      await naming.stop();
    };
    symlinkSync("../app/other/perf-1.map", join(root, "tmp/perf-1.map"));
    await expectNothing();
    rmSync(join(root, "tmp"), { recursive: true });
    symlinkSync("app/other", join(root, "tmp"));
    await expectNothing();
    await program.child.stop("SIGKILL");
  });
});

test("a perf map that another user laid into /tmp is not believed", async () => {
  const program = await startNamed([compileNamed(join(dir, "jit-of-root")), "--jit"]);
  const map = `/tmp/perf-${program.pid}.map`;
  try {
    writeFileSync(map, `${program.at["--jit"]} 40 planted\n`);
    chownSync(map, 65534, 65534);
    const naming = await Naming.start(program.pid, [program.at["--jit"]!]);
    expect(await naming.names()).toEqual([""]);
    chownSync(map, 0, 0);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect((await naming.again("locate")).names).toEqual(["planted"]);
    await naming.stop();
  } finally {
    rmSync(map, { force: true });
    await program.child.stop();
  }
});

test("a perf map that is a link to another file, or lies behind one, is not read", async () => {
  const program = await startNamed([compileNamed(join(dir, "jit-behind-links")), "--jit"]);
  const map = `/tmp/perf-${program.pid}.map`;
  const theirs = `/tmp/lowflame-${program.pid}.log`; // of the process's user, for something else
  const nameNow = async (naming: Naming) => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    return (await naming.again("locate")).names[0];
  };
  try {
    writeFileSync(theirs, `${program.at["--jit"]} 40 planted\n`);
    symlinkSync(theirs, map);
    const naming = await Naming.start(program.pid, [program.at["--jit"]!]);
    expect(await naming.names()).toEqual([""]);
    rmSync(map);
    linkSync(theirs, map);
    expect(await nameNow(naming)).toBe("");
    rmSync(theirs);
    expect(await nameNow(naming)).toBe("planted");
    await naming.stop();
  } finally {
    for (const file of [map, theirs]) rmSync(file, { force: true });
    await program.child.stop();
  }
});

test("names of node's own JIT: --perf-basic-prof", async () => {
  const script = "function hotLoop(){let s=0;for(let i=0;i<1e9;i++)s+=i%7;return s} setInterval(hotLoop,1)";
  const node = Child.start([process.execPath, "--perf-basic-prof", "-e", script]);
  const map = `/tmp/perf-${node.pid}.map`;
  try {
    await node.until(
      () => existsSync(map) && /hotLoop.*\n/.test(readFileSync(map, "utf8")),
      10_000,
      "perf map",
    );
    const line = readFileSync(map, "utf8")
      .split("\n")
      .slice(0, -1) // what follows the last newline is still being written
      .findLast((l) => l.includes("hotLoop"))!;
    const [start, size] = line.split(" ", 2).map((hex) => BigInt(`0x${hex}`));
    const naming = await Naming.start(node.pid, [(start! + size! / 2n).toString(16)]);
    expect((await naming.names())[0]).toContain("hotLoop");
    await naming.stop();
  } finally {
    await node.stop("SIGKILL");
    rmSync(map, { force: true });
  }
});
