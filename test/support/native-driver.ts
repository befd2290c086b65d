// Builds the small command of a part of native/ that tests drive: the one of the addon's own build where there is one, else
// of a build of its own; and one with sanitizers, for input that means harm.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "./paths.js";

export interface NativeDriver {
  /** Where it is once it is built. */
  readonly path: string;
  /** From this checkout, one build at a time. Throws with the compiler's errors. For beforeAll(build, NATIVE_BUILD_MS). */
  readonly build: () => void;
}

/** The first build compiles the whole part. */
export const NATIVE_BUILD_MS = 180_000;

const BUILD = join(repositoryRoot(), "build");
const SANITIZE = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all";

/** @param part a folder of native/ */
export function nativeDriver(
  part: "symbols" | "unwind" | "walk",
  options: { sanitized?: boolean } = {},
): NativeDriver {
  const { sanitized = false } = options;
  const name = `lowflame-${part}`;
  const withAddon = !sanitized && existsSync(join(BUILD, "CMakeCache.txt"));
  const folder = withAddon ? BUILD : join(BUILD, `${part}-${sanitized ? "sanitized" : "alone"}`);
  return {
    path: join(folder, `test-${part}`, name),
    build() {
      mkdirSync(folder, { recursive: true });
      const ours = ["-S", join(repositoryRoot(), "native", part), "-B", folder].concat(
        sanitized
          ? ["-DCMAKE_BUILD_TYPE=None", `-DCMAKE_CXX_FLAGS=${SANITIZE}`]
          : ["-DCMAKE_BUILD_TYPE=Release"],
        "-DCMAKE_UNITY_BUILD=ON",
      );
      const alone = (...command: string[]) =>
        execFileSync(
          "flock",
          [join(BUILD, `${withAddon ? "drivers" : `${part}-${sanitized}`}.lock`), ...command],
          {
            stdio: "pipe",
          },
        );
      if (!withAddon) alone("cmake", ...ours);
      alone("cmake", "--build", folder, "--target", name, "--parallel", "2");
    },
  };
}
