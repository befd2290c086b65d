// Child processes that cannot outlive the test that started them: each runs under test/programs/leash.c, which kills its
// whole process group when it ends or when this process dies. Output is kept up to a limit.
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { programsDir, repositoryRoot } from "./paths.js";

const OUTPUT_LIMIT = 64 * 1024 * 1024;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

function makePrograms(...targets: readonly string[]): void {
  const out = programsDir();
  mkdirSync(out, { recursive: true });
  // one at a time: test files run side by side
  const command = ["make", "-s", "-j2", `OUT=${out}`, ...targets];
  execFileSync("flock", [join(out, "make.lock"), ...command], {
    cwd: join(repositoryRoot(), "test/programs"),
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** Builds what is missing or old among the test programs; needs make, gcc and g++. Cheap when nothing changed. */
export function buildPrograms(): void {
  makePrograms();
}

/** A running child in a process group of its own; `pid` is the command's own pid and the group's id. */
export class Child {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  stdout = "";
  stderr = "";
  private exit: Exit | undefined;
  private readonly watchers = new Set<() => void>();

  private constructor(
    readonly command: readonly string[],
    private readonly process: ChildProcessWithoutNullStreams,
  ) {
    this.pid = process.pid!;
    process.stdin.on("error", () => {}); // the child may be gone; its exit tells
    process.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (this.stdout.length < OUTPUT_LIMIT) this.stdout += text;
      this.notify();
    });
    process.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (this.stderr.length < OUTPUT_LIMIT) this.stderr += text;
      this.notify();
    });
    this.exited = new Promise((resolve) => {
      process.on("close", (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
        this.notify();
      });
    });
  }

  /** Starts `command` (first element is the program, searched in PATH and /usr/sbin). */
  static start(command: readonly string[], options: ChildOptions = {}): Child {
    const leash = join(programsDir(), "leash");
    if (!existsSync(leash)) makePrograms(leash);
    const env = { ...(options.env ?? process.env) };
    env.PATH = `${env.PATH ?? ""}:/usr/sbin:/sbin`;
    const child = spawn(leash, [...command], { cwd: options.cwd, env, stdio: ["pipe", "pipe", "pipe"] });
    if (child.pid === undefined) throw new Error(`Cannot start ${command[0]}: is ${leash} executable?`);
    return new Child(command, child);
  }

  get running(): boolean {
    return this.exit === undefined;
  }

  write(text: string): void {
    this.process.stdin.write(text);
  }

  /** Waits until `condition` holds; rejects with the child's last words when it ends first or the time is over. */
  async until(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error) => {
        clearTimeout(timer);
        clearInterval(poll);
        this.watchers.delete(check);
        error ? reject(error) : resolve();
      };
      const check = () => {
        if (condition()) done();
        else if (this.exit) done(this.complaint(`ended before ${what}`));
      };
      const timer = setTimeout(() => done(this.complaint(`no ${what} in ${timeoutMs} ms`)), timeoutMs);
      const poll = setInterval(check, 20); // a condition may look at more than output
      this.watchers.add(check);
    });
  }

  /** Sends a signal to the command alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.process.kill(signal);
  }

  /** Asks the command to end, kills its group after `graceMs`; resolves when it is gone. */
  async stop(signal: NodeJS.Signals = "SIGTERM", graceMs = 5000): Promise<Exit> {
    this.signal(signal);
    const timer = setTimeout(() => this.killGroup(), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  private killGroup(): void {
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch {
      // gone already
    }
  }

  private complaint(what: string): Error {
    const said = (this.stderr || this.stdout).trim().slice(-600);
    const how = this.exit ? ` (exit ${this.exit.code ?? this.exit.signal})` : "";
    return new Error(`${this.command.join(" ").slice(0, 200)}: ${what}${how}. It said: ${said || "nothing"}`);
  }

  private notify(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}
