// package.json and its lock: what a newcomer's `npm ci` will do, and will not do.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT, trackedFiles } from "./helpers/tracked-files.js";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly private: boolean;
  readonly engines: { readonly node: string };
  readonly bin: Record<string, string>;
  readonly scripts: Record<string, string>;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}

interface Lock {
  readonly version: string;
  readonly packages: Record<
    string,
    {
      version?: string;
      resolved?: string;
      optionalDependencies?: Record<string, string>;
    } & Partial<Manifest>
  >;
}

const read = <T>(path: string): T => JSON.parse(readFileSync(join(ROOT, path), "utf8")) as T;
const manifest = read<Manifest>("package.json");
const lock = read<Lock>("package-lock.json");

describe("package.json", () => {
  test("runs nothing of ours on installation", () => {
    for (const hook of ["preinstall", "install", "postinstall", "prepare", "prepublish"]) {
      expect(manifest.scripts).not.toHaveProperty(hook);
    }
  });

  test("wants Node 20 or newer and gives one command, whose source begins with node's shebang", () => {
    expect(manifest.engines.node).toBe(">=20");
    expect(manifest.bin).toEqual({ lowflame: "./dist/cli/main.js" });
    expect(readFileSync(join(ROOT, "src/cli/main.ts"), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  test("the command is where the build puts that source", () => {
    const { rootDir, outDir } = read<{ compilerOptions: { rootDir: string; outDir: string } }>(
      "tsconfig.build.json",
    ).compilerOptions;
    expect(`./${outDir}/cli/main.js`).toBe(manifest.bin.lowflame);
    expect(rootDir).toBe("src");
  });

  test("names exact versions", () => {
    for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    }
  });

  test("scripts call files that are tracked", () => {
    const tracked = new Set(trackedFiles());
    const called = Object.values(manifest.scripts).flatMap(
      (line) => line.match(/\b(scripts|bench)\/[\w./-]+/g) ?? [],
    );
    expect(called).not.toEqual([]);
    expect(called.filter((path) => !tracked.has(path))).toEqual([]);
  });
});

describe("package-lock.json", () => {
  test("agrees with package.json", () => {
    const top = lock.packages[""]!;
    expect(top.dependencies).toEqual(manifest.dependencies);
    expect(top.devDependencies).toEqual(manifest.devDependencies);
    expect(lock.version).toBe(manifest.version);
  });

  test("holds every optional package, or npm ci refuses it", () => {
    const missing = Object.values(lock.packages)
      .flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
      .filter((name) => !(`node_modules/${name}` in lock.packages));
    expect(missing).toEqual([]);
  });

  test("names no registry but the public one", () => {
    const elsewhere = Object.values(lock.packages)
      .map((entry) => entry.resolved ?? "https://registry.npmjs.org/")
      .filter((url) => !url.startsWith("https://registry.npmjs.org/"));
    expect(elsewhere).toEqual([]);
  });
});
