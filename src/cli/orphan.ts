// Under `npx lowflame` a signal may end npm and leave lowflame running, with its programs loaded and nobody who knows:
// npm passes a signal on to the shell between the two, which dies of it (SIGTERM) or not (SIGHUP), but never to lowflame.
import type { SystemView } from "./system.js";

/** How often the parents are looked up, ms. */
const WATCH_INTERVAL_MS = 1_000;
/** npm, its shell, lowflame: more generations between npm and lowflame than these are not of npm's making. */
const MAX_GENERATIONS = 3;

export interface ParentWatch {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly system: Pick<SystemView, "readText">;
  /** Parent of this process now. */
  readonly parentPid: () => number;
  /** Called once when npm, or what it put between, is gone. */
  readonly onGone: () => void;
}

/**
 * Watches the parents if this process runs under `npm exec` (npx). Anywhere else a parent that ends means nothing: then
 * `nohup lowflame record &` must go on. Keeps no process alive. Returns the function that stops watching.
 */
export function watchParents({ env, system, parentPid, onGone }: ParentWatch): () => void {
  if (env.npm_command !== "exec" || env.npm_lifecycle_event !== "npx") return () => {};
  const before = parentsUpToNpm(parentPid(), system);
  const timer = setInterval(() => {
    const now = parentsUpToNpm(parentPid(), system);
    if (now.length === before.length && now.every((pid, i) => pid === before[i])) return;
    clearInterval(timer);
    onGone();
  }, WATCH_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * Pids from the parent up to npm. npm names itself ("npm exec lowfl", comm); where nobody of that name is found, only the
 * parent counts: whoever stands above npm may come and go.
 */
function parentsUpToNpm(parent: number, system: ParentWatch["system"]): number[] {
  const pids: number[] = [];
  for (let pid = parent; pid > 1 && pids.length < MAX_GENERATIONS; ) {
    const stat = system.readText(`/proc/${pid}/stat`) ?? "";
    const end = stat.lastIndexOf(")");
    pids.push(pid);
    if (stat.slice(stat.indexOf("(") + 1, end).startsWith("npm")) return pids;
    pid = Number(stat.slice(end + 2).split(" ")[1]); // field 4, proc(5); NaN ends the walk
  }
  return [parent];
}
