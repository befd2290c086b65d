// Writing result files safely: proved writable before the recording, written beside their place, moved there when whole.
// An existing file stays as it is until the new one is complete.
import { randomBytes } from "node:crypto";
import { constants, createReadStream, createWriteStream, rmSync } from "node:fs";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { CliError, Exit, errorCode, systemReason } from "./errors.js";

/** A place for one result. */
export interface PreparedFile {
  /** As asked for. */
  readonly path: string;
  /** Where symbolic links lead to. */
  readonly realPath: string;
  /** Written first, then renamed; null for devices and pipes (/dev/stdout), which are written directly. */
  readonly partPath: string | null;
}

/**
 * Finds out whether `path` can be written, by making the part file beside it.
 * @throws CliError OUTPUT_NOT_WRITABLE
 */
export async function prepareFile(path: string): Promise<PreparedFile> {
  try {
    const realPath = await realpath(path).catch((error) => {
      if (errorCode(error) === "ENOENT") return path;
      throw error;
    });
    const found = await stat(realPath).catch(() => undefined);
    if (found?.isDirectory()) throw Object.assign(new Error("it is a directory"), { code: "EISDIR" });
    // Renaming over /dev/null as root would replace the device for the whole machine.
    if (found && !found.isFile()) return { path, realPath, partPath: null };
    if (found) await (await open(realPath, constants.O_WRONLY)).close(); // read-only files stay untouched
    const partPath = besides(realPath, "part");
    await (await open(partPath, "wx")).close();
    return { path, realPath, partPath };
  } catch (error) {
    throw cannotWrite(path, error, await hintFor(path, error));
  }
}

/**
 * Writes the whole content and moves it to its place.
 * @throws CliError OUTPUT_FAILED; the part file is gone then and an older file is untouched
 */
export async function commitFile(file: PreparedFile, content: string | Uint8Array): Promise<void> {
  const target = file.partPath ?? file.realPath;
  try {
    const handle = await open(target, file.partPath === null ? "w" : "r+");
    try {
      await handle.writeFile(content);
      if (file.partPath !== null) await handle.sync();
    } finally {
      await closeQuietly(handle);
    }
    if (file.partPath !== null) await rename(file.partPath, file.realPath);
  } catch (error) {
    await discardFile(file);
    throw writeFailed(file.path, error);
  }
}

/** Moves a file that was written elsewhere on the same file system (the streamed capture) to the prepared place. */
export async function adoptFile(file: PreparedFile, written: string): Promise<void> {
  try {
    await rename(written, file.realPath);
  } catch (error) {
    throw writeFailed(file.path, error);
  } finally {
    await discardFile(file);
  }
}

/** Copies a whole file (the streamed capture) to the prepared place, for a second copy or a device. */
export async function copyToFile(file: PreparedFile, from: string): Promise<void> {
  const target = file.partPath ?? file.realPath;
  try {
    await pipeline(createReadStream(from), createWriteStream(target));
    if (file.partPath !== null) await rename(file.partPath, file.realPath);
  } catch (error) {
    await discardFile(file);
    throw writeFailed(file.path, error);
  }
}

/** Removes at once what `prepareFile` made: for a user who gives up. Never fails. */
export function discardFileNow(file: PreparedFile): void {
  try {
    if (file.partPath !== null) rmSync(file.partPath, { force: true });
  } catch {
    // the process ends now; a left-over part file is named after its target
  }
}

/** Removes what `prepareFile` made. Never fails. */
export async function discardFile(file: PreparedFile): Promise<void> {
  if (file.partPath !== null) await rm(file.partPath, { force: true }).catch(() => {});
}

/**
 * Makes the file that a recording streams its capture to, so that a crash loses nothing: beside the first result, under
 * a name that can be seen and reported from; in the directory for temporary files when the results go to devices.
 */
export async function makeCapturePart(files: readonly PreparedFile[]): Promise<string> {
  const beside = files.find((file) => file.partPath !== null);
  const dir = beside ? dirname(beside.realPath) : tmpdir();
  const path = join(dir, `lowflame-partial-${process.pid}-${randomBytes(4).toString("hex")}.lowflame`);
  try {
    await (await open(path, "wx")).close();
  } catch (error) {
    throw cannotWrite(path, error, "free space, or choose another directory with -o");
  }
  return path;
}

/** One line for a write that failed on the way. */
export function writeFailed(path: string, error: unknown): CliError {
  return new CliError("OUTPUT_FAILED", Exit.output, `${path}: writing failed, ${systemReason(error)}`, "", {
    cause: error,
  });
}

const besides = (path: string, kind: string): string =>
  join(dirname(path), `.${basename(path).slice(0, 128)}.${randomBytes(4).toString("hex")}.${kind}`);

function cannotWrite(path: string, error: unknown, hint: string): CliError {
  const reason = systemReason(error);
  return new CliError(
    "OUTPUT_NOT_WRITABLE",
    Exit.output,
    `-o ${path}: this cannot be written, ${reason}`,
    hint,
    {
      cause: error,
    },
  );
}

async function hintFor(path: string, error: unknown): Promise<string> {
  const dir = dirname(path);
  const present = await stat(dir).then(
    () => true,
    () => false,
  );
  if (errorCode(error) === "ENOENT" && !present) return `the directory is missing: mkdir -p ${dir}`;
  if (errorCode(error) === "EISDIR") return `name a file in it: -o ${join(path, "report.html")}`;
  return "nothing was recorded; choose another place with -o FILE";
}

async function closeQuietly(handle: FileHandle): Promise<void> {
  await handle.close().catch(() => {});
}
