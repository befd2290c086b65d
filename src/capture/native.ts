// Loads the compiled addon and gives it its type.
import { createRequire } from "node:module";
import type { NativeBinding, NativeSession, ProbeRow } from "./binding.js";

interface Addon {
  readonly Session: new () => NativeSession;
  probe(): readonly ProbeRow[];
}

/** Loads the addon. Throws Node's own load error (code MODULE_NOT_FOUND or ERR_DLOPEN_FAILED) where it is not built. */
export function loadBinding(): NativeBinding {
  const addon = createRequire(import.meta.url)("#native") as Addon;
  return { openSession: () => new addon.Session(), probe: () => addon.probe() };
}
