// Kernel names against /proc/kallsyms itself, and processes in a root and pid namespace of their own. Wants root.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
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

  test("its debug file by build ID comes from its own root, after its end too", async () => {
    const { root, run, whole } = container("debug", true);
    const id = /Build ID: ([0-9a-f]+)/.exec(
      execFileSync("readelf", ["-n", whole], { encoding: "utf8" }),
    )![1]!;
    const debug = join(root, `usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`);
    expect(existsSync(join("/", debug.slice(root.length)))).toBe(false);
    mkdirSync(dirname(debug), { recursive: true });
    execFileSync("objcopy", ["--only-keep-debug", whole, debug]);
    const program = await run();
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

test("names of node's own JIT: --perf-basic-prof", async () => {
  const script = "function hotLoop(){let s=0;for(let i=0;i<1e9;i++)s+=i%7;return s} setInterval(hotLoop,1)";
  const node = Child.start([process.execPath, "--perf-basic-prof", "-e", script]);
  const map = `/tmp/perf-${node.pid}.map`;
  try {
    await node.until(
      () => existsSync(map) && readFileSync(map, "utf8").includes("hotLoop"),
      10_000,
      "perf map",
    );
    const line = readFileSync(map, "utf8")
      .split("\n")
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
