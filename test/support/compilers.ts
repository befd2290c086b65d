// Compilers of languages that the tests want where they are installed: too large to install for every run of all checks.
import { spawnSync } from "node:child_process";

export const hasGo = spawnSync("go", ["version"]).status === 0;
export const hasRust = spawnSync("rustc", ["--version"]).status === 0;
