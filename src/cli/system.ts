// What the command line reads from this machine (/proc, /sys), behind an interface so that tests can describe another one.
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  statfsSync,
} from "node:fs";
import { totalmem } from "node:os";

/** Read-only view of the machine. Nothing throws: what cannot be read is undefined. */
export interface SystemView {
  /** Text of a file under /proc or /sys. */
  readText(path: string): string | undefined;
  readLink(path: string): string | undefined;
  exists(path: string): boolean;
  /** `f_type` of the file system that holds `path` (statfs(2)). */
  fsType(path: string): number | undefined;
  /** The kernel log as far as it still reaches back; undefined where it may not be read. */
  kernelLog(): string | undefined;
  readonly effectiveUid: number;
  readonly memoryBytes: number;
}

/** The kernel log is a ring; a busy one is a few MiB. This bounds what a `doctor` reads. */
const MAX_LOG_RECORDS = 20_000;

/** This machine. */
export function realSystem(): SystemView {
  return {
    readText: (path) => attempt(() => readFileSync(path, "utf8")),
    readLink: (path) => attempt(() => readlinkSync(path)),
    exists: (path) => existsSync(path),
    fsType: (path) => attempt(() => statfsSync(path).type),
    kernelLog: () => attempt(readKernelLog),
    effectiveUid: process.geteuid?.() ?? -1,
    memoryBytes: totalmem(),
  };
}

/** /dev/kmsg gives one record a read(2) and EAGAIN at its end when it is opened without waiting. */
function readKernelLog(): string {
  const fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(8_192);
  let text = "";
  try {
    for (let record = 0; record < MAX_LOG_RECORDS; record++) {
      let length = 0;
      try {
        length = readSync(fd, buffer);
      } catch (error) {
        // EPIPE: records were overwritten while we read; the next read goes on behind them.
        if ((error as NodeJS.ErrnoException).code === "EPIPE") continue;
        break;
      }
      text += buffer.toString("utf8", 0, length);
    }
  } finally {
    closeSync(fd);
  }
  return text;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
