// `lowflame record` and its output files: links, devices, folders, files that fail, a disk that fills up.
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ResultJson } from "../../src/cli/json.js";
import { nativeError } from "./helpers/fake-binding.js";
import { eventsOf, setUp } from "./helpers/record-harness.js";

describe("output files", () => {
  it("that exist stay as they are until the new ones are whole", async () => {
    const { harness } = setUp({ fail: { step: "finish", error: nativeError("EIO_BPF", "gone") } });
    writeFileSync(harness.path("r.html"), "yesterday");
    await harness.run("record", "-d", "50ms", "-o", "r.html");
    expect(readFileSync(harness.path("r.html"), "utf8")).toBe("yesterday");
  });

  it("may be links: the file that they lead to is replaced, the link stays", async () => {
    const { harness } = setUp();
    mkdirSync(harness.path("real"));
    writeFileSync(harness.path("real/r.html"), "yesterday");
    symlinkSync("real/r.html", harness.path("link.html"));
    expect(await harness.run("record", "-d", "50ms", "-o", "link.html")).toBe(0);
    expect(readFileSync(harness.path("real/r.html"), "utf8")).toBe("html all duration");
    expect(harness.files()).toEqual(["link.html", "real"]);
  });

  it("may be devices, which are written to and never replaced", async () => {
    const { harness } = setUp();
    symlinkSync("/dev/null", harness.path("null.html"));
    expect(await harness.run("record", "-d", "50ms", "-o", "null.html")).toBe(0);
    expect(existsSync("/dev/null")).toBe(true);
    expect(harness.files()).toEqual(["null.html"]);
    // Standard output may be where the result went: the summary keeps away from it.
    expect(harness.stdout.text).toBe("");
    expect(harness.stderr.text).toContain("tcp_sendmsg");
  });

  it("may not be directories", async () => {
    const { harness } = setUp();
    mkdirSync(harness.path("dir.html"));
    expect(await harness.run("record", "-o", "dir.html")).toBe(5);
    expect(harness.stderr.text).toContain("it is a directory");
  });

  it("of which one fails do not take the others with them; the capture is kept and named", async () => {
    const { harness } = setUp(
      {},
      {
        deps: {
          render: async (format) => {
            if (format === "html") throw Object.assign(new Error("write"), { code: "ENOSPC" });
            return "fine";
          },
        },
      },
    );
    expect(await harness.run("record", "-d", "50ms", "-o", "r.html", "-o", "r.speedscope.json")).toBe(1);
    expect(readFileSync(harness.path("r.speedscope.json"), "utf8")).toBe("fine");
    const named = /kept in (\S+);/.exec(harness.stderr.text)?.[1];
    expect((await eventsOf(named!)).map((event) => event.type)).toEqual(["header", "batch", "end"]);
  });
});

describe("a disk that fills up while it is recorded", () => {
  it("ends the recording with one line and exit 5, and still writes the report where there is room", async () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const { harness } = setUp(
      {},
      {
        deps: {
          openCapture: async (path) => ({
            write: async (event) => {
              if (event.type === "batch") throw full;
              writeFileSync(path, "the header");
            },
            close: async () => {},
          }),
        },
      },
    );
    expect(await harness.run("record", "-d", "1h", "-o", "r.html", "-o", "r.lowflame", "--json")).toBe(5);
    expect(harness.stderr.text).toContain("no space is left on that disk");
    expect(harness.stderr.text.match(/no space/g)).toHaveLength(1);
    const document = JSON.parse(harness.stdout.text) as ResultJson;
    expect(document).toMatchObject({ ok: false, exitCode: 5, error: { code: "OUTPUT_FAILED" } });
    expect(document.recording.endReason).toMatch(/^error: .*no space/);
    expect(document.files.map((file) => file.format)).toEqual(["html"]);
    expect(harness.files()).toEqual([expect.stringMatching(/^lowflame-partial-/), "r.html"]);
  });
});

it("a file that may not be written to is left alone (root may write it all the same)", async () => {
  const { harness } = setUp();
  writeFileSync(harness.path("r.html"), "keep");
  chmodSync(harness.path("r.html"), 0o444);
  const code = await harness.run("record", "-d", "50ms", "-o", "r.html");
  const root = process.geteuid?.() === 0;
  expect(code).toBe(root ? 0 : 5);
  expect(readFileSync(harness.path("r.html"), "utf8")).toBe(root ? "html all duration" : "keep");
});
