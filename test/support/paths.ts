// Where things are in the checkout, whether this file runs from source (tests) or bundled (bench).
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Absolute path of the checkout: the nearest folder upwards with a package.json. */
export function repositoryRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, "package.json"))) {
    const up = dirname(dir);
    if (up === dir)
      throw new Error("No package.json above test/support: run this from a checkout of lowflame.");
    dir = up;
  }
  return dir;
}

/** Folder that the test programs are built into. */
export function programsDir(): string {
  return join(repositoryRoot(), "build/test-programs");
}
