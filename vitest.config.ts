// Two projects: `unit` needs no root and runs in seconds; `kernel` loads real BPF and wants root.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    pool: "forks",
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: 20_000,
          pool: "forks",
          // Files share a process and the modules that it has read: a quarter less of CPU time. They keep nothing there.
          isolate: false,
        },
      },
      {
        test: {
          name: "kernel",
          include: ["test/kernel/**/*.test.ts"],
          // What the tests' own programs say of themselves, against the kernel's accounts: after changing one of them. The
          // other tests compare with the same numbers each time.
          // And what scripts/test runs beside the unit tests.
          exclude: [
            ...(process.env.LOWFLAME_PROGRAMS === "1" ? [] : ["test/kernel/programs.test.ts"]),
            ...(process.env.LOWFLAME_APART?.split(" ") ?? []),
          ],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          pool: "forks",
          fileParallelism: false,
          // These watch a real machine, whose host may stop it at any moment: a test has failed when it fails three times
          // in a row. scripts/test names each that needed a second try.
          retry: 2,
          expect: { poll: { timeout: 10_000 } },
        },
      },
    ],
  },
});
