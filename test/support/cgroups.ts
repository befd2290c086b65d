// Temporary cgroups (v2) for tests of filters by cgroup.
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Mount point of the cgroup2 hierarchy (on hybrid machines /sys/fs/cgroup/unified). */
export function cgroupRoot(): string {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, where, type] = line.split(" ");
    if (type === "cgroup2" && where) return where;
  }
  throw new Error("No cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup");
}

export interface TemporaryCgroup {
  /** Absolute path of its directory. */
  readonly path: string;
  /** Moves a process (all its threads) into it. */
  add(pid: number): void;
  /** A cgroup below this one. */
  child(name: string): TemporaryCgroup;
  /** Moves what is left back to the root and removes it, children first. */
  remove(): void;
}

/** Makes a cgroup below the root; the name gets this process's pid, so that two runs do not meet. */
export function makeCgroup(name: string): TemporaryCgroup {
  return at(join(cgroupRoot(), `${name}-${process.pid}`));
}

function at(path: string): TemporaryCgroup {
  mkdirSync(path, { recursive: true });
  const children: TemporaryCgroup[] = [];
  return {
    path,
    add: (pid) => writeFileSync(join(path, "cgroup.procs"), String(pid)),
    child(name) {
      const child = at(join(path, name));
      children.push(child);
      return child;
    },
    remove() {
      for (const child of children) child.remove();
      for (const pid of readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean)) {
        try {
          writeFileSync(join(cgroupRoot(), "cgroup.procs"), pid);
        } catch {
          // ended meanwhile
        }
      }
      rmdirSync(path);
    },
  };
}
