// The real pieces behind CliDeps. What costs time to load (protobuf, the model) is imported when it is used.
import { hostname } from "node:os";
import type { NativeBinding } from "../capture/binding.js";
import { loadBinding } from "../capture/native.js";
import { renderProfile } from "../export/index.js";
import type { CaptureSink, CliDeps } from "./deps.js";
import { CliError, Exit, errorCode, firstLine, systemReason } from "./errors.js";
import { toolVersion } from "./host.js";
import { realSystem } from "./system.js";

/** Everything that the commands need, from this process and this machine. */
export function realDeps(): CliDeps {
  return {
    loadBinding: loadAddon,
    openCapture,
    readCapture: async function* (path) {
      const { readCapture } = await import("../capture/file/reader.js");
      yield* readCapture(path);
    },
    createBuilder: async () => new (await import("../model/build.js")).ProfileBuilder(),
    analyze: async (profile) => (await import("../analysis/analyze.js")).analyze(profile),
    render: renderProfile,
    system: realSystem(),
    terminal: { stdout: process.stdout, stderr: process.stderr, env: process.env },
    signals: process,
    exitNow: (code) => process.exit(code),
    now: () => new Date(),
    // Asked for only by who writes or reads files: `doctor` and --help do without.
    get cwd() {
      return workingDirectory();
    },
    hostname: hostname(),
    version: toolVersion(),
  };
}

/**
 * The current directory as a path.
 * @throws CliError NO_WORKING_DIRECTORY where it was deleted (getcwd(2) gives ENOENT)
 */
export function workingDirectory(ask: () => string = process.cwd): string {
  try {
    return ask();
  } catch (error) {
    const reason = errorCode(error) === "ENOENT" ? "it was deleted" : systemReason(error);
    throw new CliError(
      "NO_WORKING_DIRECTORY",
      Exit.output,
      `the current directory cannot be used, ${reason}`,
      "change to one that exists, such as: cd /tmp   (a directory made again under the same name is another one)",
      { cause: error },
    );
  }
}

async function openCapture(path: string): Promise<CaptureSink> {
  const { CaptureWriter } = await import("../capture/file/writer.js");
  const writer = await CaptureWriter.open(path);
  return {
    write: async (event) => {
      if (event.type !== "damage") await writer.event(event);
    },
    close: () => writer.close(),
  };
}

function loadAddon(): NativeBinding {
  try {
    return loadBinding();
  } catch (error) {
    throw addonError(error);
  }
}

/** One line for an addon that is not built (MODULE_NOT_FOUND) or that the loader refuses (ERR_DLOPEN_FAILED). */
export function addonError(error: unknown): CliError {
  const missing = ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(errorCode(error));
  const reason = missing ? "it is not built" : firstLine(error);
  return new CliError(
    "ADDON_NOT_LOADED",
    Exit.cannotRecord,
    `the native addon cannot be loaded: ${reason}`,
    "in lowflame's directory: npm run build:native   (sudo scripts/quickstart installs what that needs)",
    { cause: error },
  );
}
