// Old format versions are read by lifting a decoded member from version to version, one step at a time, until it is
// of the newest. A step for version n is added together with version n + 1 and then never changes again.
import { FORMAT_VERSION } from "./schema.js";

/** Lifts a decoded member (plain object, camelCase) of one version to the next. */
export type Upgrader = (member: Record<string, unknown>) => Record<string, unknown>;

/** Index n - 1 lifts version n to n + 1. */
const UPGRADERS: readonly Upgrader[] = [
  // 1 to 2: locks, futexes and sockets came. A capture without them has none, which is what an absent field reads as.
  (member) => member,
];

/** @returns the member as of version `to`; `version` must be from 1 to `to`. */
export function upgrade(
  member: Record<string, unknown>,
  version: number,
  upgraders: readonly Upgrader[] = UPGRADERS,
  to: number = FORMAT_VERSION,
): Record<string, unknown> {
  return upgraders.slice(version - 1, to - 1).reduce((lifted, step) => step(lifted), member);
}
