// Real servers from Debian's packages, each with a temporary configuration and folder, on free ports of 127.0.0.1 only:
// nginx (alone, or as a proxy over kept-alive upstream connections), haproxy, redis. They die with this process.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./children.js";
import { accepts, freePorts } from "./ports.js";
import { groupMembers } from "./proc.js";

export interface Server {
  readonly name: string;
  readonly port: number;
  readonly url: string;
  /** Pid of the first process (nginx: the master; haproxy: the master; redis: the server). */
  readonly pid: number;
  /** All its processes now, workers included. */
  pids(): number[];
  /** Stops it and everything that was started for it; removes its folder. May be called twice. */
  stop(): Promise<void>;
}

const BODY = "lowflame test page: one kilobyte of text. ".repeat(26).slice(0, 1024);

/** An nginx that answers each request itself with 1 KiB from memory. */
export function startNginx(options: { workers?: number } = {}): Promise<Server> {
  return withFolder("nginx", async (dir) => {
    const [port] = await freePorts(1);
    const locations = `location / { default_type text/plain; return 200 "${BODY}"; }`;
    return nginx(dir, "nginx", port!, options.workers ?? 2, "", locations);
  });
}

export interface ProxyPair extends Server {
  readonly proxy: Server;
  readonly backend: Server;
}

/**
 * An nginx that proxies to another nginx over kept-alive upstream connections; the URL is the proxy's. Its own count of
 * requests is at /status.
 * @param proxyWorkers worker processes of the proxy (default 2)
 * @param others ports of this machine that the proxy asks in turn with the other nginx
 */
export function startNginxProxy(
  options: { proxyWorkers?: number; backendWorkers?: number; others?: readonly number[] } = {},
): Promise<ProxyPair> {
  return withFolder("nginx-proxy", async (dir) => {
    const backend = await startNginx({ workers: options.backendWorkers ?? 1 });
    try {
      const [port] = await freePorts(1);
      const ends = [backend.port, ...(options.others ?? [])].map(
        (end) => `server 127.0.0.1:${end} max_fails=0;`,
      );
      const upstream = `upstream backend { ${ends.join(" ")} keepalive 64; keepalive_requests 1000000; }`;
      const locations = `location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }
         location = /status { stub_status; }`;
      const proxy = await nginx(dir, "nginx proxy", port!, options.proxyWorkers ?? 2, upstream, locations);
      return {
        ...proxy,
        proxy,
        backend,
        pids: () => [...proxy.pids(), ...backend.pids()],
        async stop() {
          await proxy.stop();
          await backend.stop();
        },
      };
    } catch (error) {
      await backend.stop();
      throw error;
    }
  });
}

/**
 * An nginx in front of HTTP servers on other ports or at unix paths of this machine, over kept-alive connections: /0 is answered by
 * the first of them, /1 by the second, and so on.
 * @param options.timeoutMs how long it waits for a connection and for an answer
 * @param options.zipped compresses what they answer, as well as zlib can, for clients that accept gzip
 */
export function startNginxFront(
  ends: readonly (number | string)[],
  options: { zipped?: boolean; timeoutMs?: number } = {},
): Promise<Server> {
  return withFolder("nginx-front", async (dir) => {
    const [port] = await freePorts(1);
    const at = (end: number | string) => (typeof end === "number" ? `127.0.0.1:${end}` : `unix:${end}`);
    const upstreams = ends.map((end, n) => `upstream end${n} { server ${at(end)}; keepalive 16; }`);
    const gzip = options.zipped ? "gzip on; gzip_comp_level 9; gzip_types *; " : "";
    const { timeoutMs } = options;
    const limits = timeoutMs
      ? `proxy_connect_timeout ${timeoutMs}ms; proxy_read_timeout ${timeoutMs}ms; `
      : "";
    const locations = ends.map(
      (_, n) =>
        `location /${n} { ${gzip}${limits}proxy_pass http://end${n}; proxy_http_version 1.1; proxy_set_header Connection ""; }`,
    );
    return nginx(dir, "nginx front", port!, 1, upstreams.join("\n"), locations.join("\n"));
  });
}

function nginx(
  dir: string,
  name: string,
  port: number,
  workers: number,
  upstream: string,
  locations: string,
): Promise<Server> {
  mkdirSync(join(dir, "temp"));
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${dir}/temp/${kind};`)
    .join(" ");
  const config = join(dir, "nginx.conf");
  writeFileSync(
    config,
    `daemon off; user root; worker_processes ${workers}; pid ${dir}/pid; error_log ${dir}/error.log warn;
     events { worker_connections 4096; }
     http {
       access_log off; keepalive_requests 1000000; keepalive_timeout 600s; ${temp}
       ${upstream}
       server { listen 127.0.0.1:${port} reuseport; ${locations} }
     }\n`,
  );
  const command = ["nginx", "-p", dir, "-c", config, "-e", join(dir, "error.log")];
  return server(name, dir, port, `http://127.0.0.1:${port}/`, command, "SIGQUIT");
}

/** An haproxy in front of an HTTP server on another port of this machine. */
export function startHaproxy(backendPort: number, options: { threads?: number } = {}): Promise<Server> {
  return withFolder("haproxy", async (dir) => {
    const [port] = await freePorts(1);
    const config = join(dir, "haproxy.cfg");
    writeFileSync(
      config,
      `global
  nbthread ${options.threads ?? 2}
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:${port}
  default_backend back
backend back
  server one 127.0.0.1:${backendPort}\n`,
    );
    return server(
      "haproxy",
      dir,
      port!,
      `http://127.0.0.1:${port}/`,
      ["haproxy", "-db", "-f", config],
      "SIGTERM",
    );
  });
}

/** A redis-server without persistence. */
export function startRedis(options: { ioThreads?: number } = {}): Promise<Server> {
  return withFolder("redis", async (dir) => {
    const [port] = await freePorts(1);
    const command = ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--dir", dir].concat([
      "--save",
      "",
      "--appendonly",
      "no",
      "--daemonize",
      "no",
      "--io-threads",
      String(options.ioThreads ?? 1),
    ]);
    return server("redis", dir, port!, `redis://127.0.0.1:${port}`, command, "SIGTERM");
  });
}

async function server(
  name: string,
  dir: string,
  port: number,
  url: string,
  command: readonly string[],
  stopSignal: NodeJS.Signals,
): Promise<Server> {
  const child = Child.start(command);
  let listening = false;
  const probe = setInterval(() => void accepts(port).then((yes) => (listening ||= yes)), 50);
  try {
    await child.until(() => listening, 15_000, `listener on port ${port}`);
  } catch (error) {
    await child.stop("SIGKILL");
    throw new Error(`${name} did not start. ${(error as Error).message}${lastLines(join(dir, "error.log"))}`);
  } finally {
    clearInterval(probe);
  }
  return {
    name,
    port,
    url,
    pid: child.pid,
    pids: () => groupMembers(child.pid).filter((pid) => !isLeash(pid)),
    async stop() {
      await child.stop(stopSignal, 3000);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function withFolder<T>(name: string, start: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), `lowflame-${name}-`));
  try {
    return await start(dir);
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

function isLeash(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "latin1") === "leash\n";
  } catch {
    return false;
  }
}

function lastLines(path: string): string {
  try {
    return ` Its log: ${readFileSync(path, "utf8").trim().slice(-400)}`;
  } catch {
    return "";
  }
}
