// Loads whose user stacks are worth looking at: servers of Debian under requests, and programs in C++, Rust and Go.
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Child } from "./children.js";
import { accepts, freePort } from "./ports.js";
import { childrenOf } from "./proc.js";
import { startProgram } from "./programs.js";
import { startHaproxy, startNginx, startNginxProxy, startRedis } from "./servers.js";
import { startWrk } from "./wrk.js";

export interface StackLoad {
  /** Processes whose stacks are looked at. */
  pids(): readonly number[];
  stop(): Promise<void>;
}

export interface StackLoadKind {
  readonly name: string;
  /** Whether the programs that it takes are installed. */
  isThere(): boolean;
  /** Starts it, for longer than any recording of it. */
  start(): Promise<StackLoad>;
  /** Bytes of each stack that perf needs; none: the yardstick follows frame pointers. */
  readonly dwarfBytes?: number;
  /** Functions to compare, where not all that the yardstick says is right. */
  readonly only?: (name: string) => boolean;
}

const KIB = 1024;
/** As long as a load could go on that nobody stopped. */
const LONG_S = 300;
const has = (command: string) =>
  spawnSync("sh", ["-c", `command -v ${command}`], { env: { PATH: `${process.env.PATH}:/usr/sbin` } })
    .status === 0;

async function underWrk(
  url: string,
  pids: () => readonly number[],
  stop: () => Promise<void>,
): Promise<StackLoad> {
  const wrk = startWrk(url, { seconds: LONG_S, connections: 32 });
  return {
    pids,
    async stop() {
      await wrk.stop();
      await stop();
    },
  };
}

const nginx: StackLoadKind = {
  name: "nginx",
  isThere: () => has("nginx") && has("wrk"),
  dwarfBytes: 8 * KIB,
  async start() {
    const pair = await startNginxProxy();
    return underWrk(
      pair.url,
      () => pair.pids(),
      () => pair.stop(),
    );
  },
};

const haproxy: StackLoadKind = {
  name: "haproxy",
  isThere: () => has("haproxy") && has("nginx") && has("wrk"),
  dwarfBytes: 8 * KIB,
  async start() {
    const backend = await startNginx({ workers: 1 });
    const front = await startHaproxy(backend.port);
    return underWrk(
      front.url,
      () => front.pids(),
      async () => {
        await front.stop();
        await backend.stop();
      },
    );
  },
};

const redis: StackLoadKind = {
  name: "redis",
  isThere: () => has("redis-server") && has("redis-benchmark"),
  dwarfBytes: 8 * KIB,
  async start() {
    const server = await startRedis();
    // pipelined, so that the server hardly sleeps: where a virtual CPU idles often its sampling timers come late or not at all
    const tests = "set,get,lpush,lrange_100,sadd,hset,zadd,mset";
    const clients = Child.start(
      ["redis-benchmark", "-q", "-l", "-p", String(server.port), "-c", "16", "-P", "16"].concat([
        "-n",
        "20000",
        "-t",
        tests,
      ]),
    );
    return {
      pids: () => server.pids(),
      async stop() {
        await clients.stop("SIGKILL");
        await server.stop();
      },
    };
  },
};

const NODE_SERVER = `
const { createServer } = require("node:http");
const rows = Array.from({ length: 40 }, (_, i) => ({ id: i, name: "row " + (i * 7919) % 97, tags: ["a", "b"] }));
function sortRows() { return [...rows].sort(function byName(a, b) { return a.name < b.name ? -1 : 1; }); }
function render(rows) { return rows.map(function row(r) { return r.name.replace(/r(o)w/, "$1-") + JSON.stringify(r); }).join(); }
function answer(request, response) { response.end(render(sortRows())); }
createServer(answer).listen(Number(process.argv.at(-1)), "127.0.0.1");`;

/** By frame pointer, which all JIT code keeps: no .eh_frame leads through it. Native functions are lost to that here and there. */
const node: StackLoadKind = {
  name: "node",
  isThere: () => has("wrk"),
  only: (name) => /^(?:JS|LazyCompile|Function|Script|Eval|Builtin):/.test(name),
  async start() {
    const port = await freePort();
    const child = Child.start([process.execPath, "--perf-basic-prof", "-e", NODE_SERVER, String(port)], {
      cwd: tmpdir(),
    });
    let listening = false;
    const probe = setInterval(() => void accepts(port).then((yes) => (listening ||= yes)), 50);
    try {
      await child.until(() => listening, 15_000, "listener");
    } finally {
      clearInterval(probe);
    }
    const load = await underWrk(
      `http://127.0.0.1:${port}/`,
      () => [child.pid],
      async () => {
        await child.stop();
        rmSync(`/tmp/perf-${child.pid}.map`, { force: true });
      },
    );
    // until what is hot is compiled and inlined for good: two recordings do not begin at the same moment
    await setTimeout(10_000);
    return load;
  },
};

/** Threads of these compute all the time: 8 KiB would not hold their larger frames. */
const program = (
  name: "stack-shapes" | "rust-stacks" | "go-stacks",
  needs: string,
  dwarfBytes?: number,
): StackLoadKind => ({
  name,
  isThere: () => has(needs),
  ...(dwarfBytes === undefined ? {} : { dwarfBytes }),
  async start() {
    const running = await startProgram(name, { args: ["--ms", String(LONG_S * 1000)] });
    return { pids: () => [running.pid], stop: () => running.stop() };
  },
});

const POSTGRES = "/usr/lib/postgresql";
const asPostgres = (...command: string[]) => [
  ...["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"],
  ...command,
];

const postgres: StackLoadKind = {
  name: "postgres",
  isThere: () => existsSync(POSTGRES) && has("pgbench"),
  dwarfBytes: 16 * KIB,
  async start() {
    const bin = join(POSTGRES, readdirSync(POSTGRES).sort().at(-1)!, "bin");
    const dir = mkdtempSync(join(tmpdir(), "lowflame-postgres-"));
    const [uid, gid] = ["-u", "-g"].map((what) =>
      Number(execFileSync("id", [what, "postgres"], { encoding: "utf8" })),
    );
    chownSync(dir, uid!, gid!);
    const port = String(await freePort());
    const run = (...command: string[]) => {
      const [first, ...rest] = asPostgres(...command);
      execFileSync(first!, rest, { cwd: dir, stdio: "pipe" });
    };
    const data = join(dir, "data");
    run(join(bin, "initdb"), "-D", data, "-A", "trust", "--no-sync");
    writeFileSync(
      join(data, "postgresql.auto.conf"),
      `port = ${port}\nunix_socket_directories = '${dir}'\nfsync = off\n`,
    );
    const server = Child.start(asPostgres(join(bin, "postgres"), "-D", data), { cwd: dir });
    try {
      await server.until(() => server.stderr.includes("ready to accept connections"), 20_000, "ready line");
      run("pgbench", "-h", dir, "-p", port, "-i", "-q", "-s", "2", "postgres");
      const load = asPostgres("pgbench", "-h", dir, "-p", port, "-c", "4", "-T", String(LONG_S), "postgres");
      const clients = Child.start(load, { cwd: dir });
      return {
        // each is the leader of a group of its own
        pids: () => [server.pid, ...childrenOf(server.pid)],
        async stop() {
          await clients.stop("SIGKILL");
          await server.stop("SIGINT");
          rmSync(dir, { recursive: true, force: true });
        },
      };
    } catch (error) {
      await server.stop("SIGINT");
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  },
};

export const STACK_LOADS = {
  nginx,
  haproxy,
  redis,
  postgres,
  node,
  cxx: program("stack-shapes", "g++", 32 * KIB),
  rust: program("rust-stacks", "rustc", 32 * KIB),
  // perf finds no way by Go's .debug_frame. By frame pointer it misses who called a leaf, so what calls none is compared
  go: {
    ...program("go-stacks", "go"),
    only: (name) =>
      /^(?:main\.(?:compute|allShapes|allShapes\.func2|main\.func1)|runtime\.goexit(?:\.abi0)?|sort\.Slice) /.test(
        name,
      ),
  },
} satisfies Record<string, StackLoadKind>;
