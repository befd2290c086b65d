// Compilers of languages that the tests want where they are installed: too large to install for every run of all checks, and too
// slow for it where nothing is cached: with CI=true they are used if LOWFLAME_COMPILERS=1. test/programs/Makefile does the same.
import { spawnSync } from "node:child_process";

const wanted = process.env.CI !== "true" || process.env.LOWFLAME_COMPILERS === "1";
const works = (...[command, option]: [string, string]) => wanted && spawnSync(command, [option]).status === 0;

export const hasGo = works("go", "version");
export const hasRust = works("rustc", "--version");
