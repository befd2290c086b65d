// `lowflame record` with a fake addon: what ends a recording, what is kept, what is written and which code it exits with.
import { EventEmitter } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import type { ResultJson } from "../../src/cli/json.js";
import { fakeSystem, procStat } from "./helpers/cli-harness.js";
import { nativeError } from "./helpers/fake-binding.js";
import { eventsOf, setUp } from "./helpers/record-harness.js";

describe("a recording", () => {
  it("ends after its duration, writes the default report and exits 0", async () => {
    const { harness, binding } = setUp();
    expect(await harness.run("record", "-d", "50ms")).toBe(0);
    expect(harness.files()).toEqual(["lowflame-edge-1-20251121T045609Z.html"]);
    expect(binding.config).toMatchObject({ sources: ["cpu", "offcpu"], frequencyHz: 99, filters: {} });
    expect(harness.stdout.text).toContain("tcp_sendmsg");
    expect(harness.stdout.text).toContain("Report: ");
  });

  it("writes every file that is asked for, and says when one becomes two", async () => {
    const { harness } = setUp();
    const files = ["a.html", "a.lowflame", "a.folded", "a.pb.gz", "a.speedscope.json"];
    expect(await harness.run("record", "-d", "50ms", ...files.flatMap((file) => ["-o", file]))).toBe(0);
    expect(harness.files()).toEqual([
      "a.cpu.folded",
      "a.cpu.pb.gz",
      "a.html",
      "a.lowflame",
      "a.offcpu.folded",
      "a.offcpu.pb.gz",
      "a.speedscope.json",
    ]);
    expect(readFileSync(harness.path("a.offcpu.pb.gz"), "utf8")).toBe("pprof offcpu duration");
    expect(harness.stderr.text).toContain("a.pb.gz becomes a.cpu.pb.gz and a.offcpu.pb.gz");
    const types = (await eventsOf(harness.path("a.lowflame"))).map((event) => event.type);
    expect(types).toEqual(["header", "batch", "end"]);
  });

  it("gives filters to the kernel, not to itself", async () => {
    const pid = process.pid;
    const { harness, binding } = setUp(
      {},
      {
        system: fakeSystem({
          [`/proc/${pid}/stat`]: procStat(pid, 5),
          "/sys/fs/cgroup/web.slice/cgroup.controllers": "",
        }),
      },
    );
    const filters = ["--pid", `${pid}`, "--comm", "nginx", "--cgroup", "web.slice", "--cpu", "0-1"];
    expect(await harness.run("record", "-d", "50ms", "-F", "499", "--what", "cpu", ...filters)).toBe(0);
    expect(binding.config).toEqual({
      sources: ["cpu"],
      frequencyHz: 499,
      unwind: true,
      filters: { pids: [pid], comms: ["nginx"], cgroups: ["/sys/fs/cgroup/web.slice"], cpus: [0, 1] },
    });
  });

  it("prints one JSON document and nothing else with --json", async () => {
    const { harness } = setUp();
    expect(await harness.run("record", "-d", "50ms", "--json", "-o", "r.html")).toBe(0);
    const document = JSON.parse(harness.stdout.text) as ResultJson;
    expect(document).toMatchObject({
      version: 1,
      tool: "record",
      ok: true,
      exitCode: 0,
      recording: { endReason: "duration", complete: true },
    });
    expect(document.files).toEqual([
      { path: harness.path("r.html"), format: "html", source: null, table: null, bytes: expect.any(Number) },
    ]);
    expect(document.cpu?.functions[0]).toMatchObject({ name: "tcp_sendmsg", selfShare: 1 });
    expect(document.offcpu?.sleepers[0]).toMatchObject({
      process: "nginx",
      syscall: "epoll_wait",
      longestNs: 2e9,
    });
  });

  it("prints only the file names with -q", async () => {
    const { harness } = setUp();
    await harness.run("record", "-d", "50ms", "-q", "-o", "r.html");
    expect(harness.stdout.text).toBe(`${harness.path("r.html")}\n`);
    expect(harness.stderr.text).toBe("");
  });
});

describe("what ends a recording early keeps what was recorded", () => {
  it.each([
    ["SIGINT", "interrupted", 0],
    ["SIGTERM", "interrupted by SIGTERM", 143],
    ["SIGHUP", "interrupted by SIGHUP", 129],
  ] as const)("%s", async (signal, reason, code) => {
    const { harness, binding } = setUp();
    const done = harness.run("record", "-d", "1h", "-o", "r.html");
    setTimeout(() => harness.signal(signal), 100);
    expect(await done).toBe(code);
    expect(readFileSync(harness.path("r.html"), "utf8")).toBe(`html all ${reason}`);
    expect(binding.calls.at(-1)).toBe("close");
  });

  it("Ctrl-C twice: it exits 130 at once and names the capture that is on the disk", async () => {
    let written: () => void = () => {};
    // The report takes so long that the user loses patience.
    const render = () => new Promise<string>((resolve) => (written = () => resolve("late")));
    const { harness } = setUp({}, { deps: { render } });
    const done = harness.run("record", "-d", "1h", "-o", "r.html");
    setTimeout(() => harness.signal("SIGINT"), 100);
    await new Promise((resolve) => setTimeout(resolve, 400));
    harness.signal("SIGINT");
    const named = /what reached the disk is in (\S+)/.exec(harness.stderr.text)?.[1];
    expect(harness.exits).toEqual([130]);
    expect(harness.files()).toEqual([basename(named!)]);
    expect((await eventsOf(named!)).at(-1)?.type).toBe("end");
    written();
    await done;
  });

  it("one Ctrl-C that arrives twice (timeout -s INT) is one", async () => {
    const { harness } = setUp();
    const done = harness.run("record", "-d", "1h", "-o", "r.html");
    setTimeout(() => {
      harness.signal("SIGINT");
      harness.signal("SIGINT");
    }, 100);
    expect(await done).toBe(0);
    expect(harness.exits).toEqual([]);
  });

  it("a Ctrl-C before events flow leaves no file and exits 130", async () => {
    const signals = new EventEmitter();
    const { harness } = setUp({ during: { load: () => signals.emit("SIGINT") } }, { deps: { signals } });
    expect(await harness.run("record", "-o", "r.html")).toBe(130);
    expect(harness.files()).toEqual([]);
    expect(harness.stderr.text).toContain("interrupted before anything was recorded");
  });

  it("the last target exits", async () => {
    const files: Record<string, string | undefined> = {};
    const system = fakeSystem();
    const reading = { ...system, readText: (path: string) => files[path] ?? system.readText(path) };
    files["/proc/77/stat"] = procStat(77, 1000);
    const { harness } = setUp({}, { system: reading });
    const done = harness.run("record", "-d", "1h", "--pid", "77", "-o", "r.html");
    // Another process with the same pid is not the target.
    setTimeout(() => {
      files["/proc/77/stat"] = procStat(77, 2000);
    }, 100);
    expect(await done).toBe(0);
    expect(readFileSync(harness.path("r.html"), "utf8")).toBe("html all target exited");
  });
});

describe("-- COMMAND", () => {
  it("is started when events flow, ends the recording, and its exit code is passed on", async () => {
    const { harness, binding } = setUp();
    const code = await harness.run("record", "-o", "r.html", "--json", "--", "sh", "-c", "exit 3");
    expect(code).toBe(3);
    const document = JSON.parse(harness.stdout.text) as ResultJson;
    expect(document.childCommand).toEqual({ command: ["sh", "-c", "exit 3"], exitCode: 3, signal: null });
    expect(document.recording.endReason).toBe("command exited");
    expect(document.ok).toBe(true);
    expect(binding.config?.filters).toEqual({});
  });

  it("is waited for when the duration ends first", async () => {
    const { harness } = setUp();
    const code = await harness.run("record", "-d", "20ms", "-o", "r.html", "--", "sleep", "0.3");
    expect(code).toBe(0);
    expect(readFileSync(harness.path("r.html"), "utf8")).toBe("html all duration");
    expect(harness.stdout.text).toContain("exited with 0");
  });

  it("that does not end after Ctrl-C is left alone at the second one, and the files are named", async () => {
    const { harness } = setUp();
    const done = harness.run("record", "-o", "r.html", "--", "sh", "-c", "trap '' INT; sleep 0.8");
    setTimeout(() => harness.signal("SIGINT"), 150);
    await new Promise((resolve) => setTimeout(resolve, 600));
    harness.signal("SIGINT");
    expect(harness.exits).toEqual([130]);
    expect(harness.stderr.text).toContain(
      `the command is left running; written: ${harness.path("r.html")}\n`,
    );
    expect(harness.files()).toEqual(["r.html"]);
    await done;
  });

  it("that a signal ends counts as 128 + n", async () => {
    const { harness } = setUp();
    expect(await harness.run("record", "-o", "r.html", "--", "sh", "-c", "kill -9 $$")).toBe(137);
  });

  it("that is not there is told before anything is loaded: 127", async () => {
    const { harness, binding } = setUp();
    expect(await harness.run("record", "--", "no-such-command-here")).toBe(127);
    expect(binding.calls).toEqual([]);
  });

  it("that cannot be executed: 126", async () => {
    const { harness } = setUp();
    writeFileSync(harness.path("plain"), "x");
    expect(await harness.run("record", "--", "./plain")).toBe(126);
  });

  it("needs its dashes, and the error says so", async () => {
    const { harness } = setUp();
    expect(await harness.run("record", "make")).toBe(2);
    expect(harness.stderr.text).toContain("lowflame record -- make");
  });
});

describe("bad input is told before anything is loaded", () => {
  it.each([
    [["-F", "0"], 2, "from 1 to 9999"],
    [["-d", "-1"], 2, "not a duration"],
    [["--what", "spu"], 2, "did you mean cpu?"],
    [["--format", "flame"], 2, "known: html, lowflame, folded, pprof, speedscope"],
    [["-o", "out.txt"], 2, "the format is not clear"],
    [["-o", "a.html", "-o", "./a.html"], 2, "named twice"],
    [["--pid", "99"], 4, "no process of that id"],
    [["--pid", "abc"], 2, "not a process id"],
    [["--cpu", "7"], 4, "CPU 7 is not online"],
    [["--cgroup", "nowhere.slice"], 4, "not a directory of the cgroup v2 hierarchy"],
    [["-o", "no/such/dir/a.html"], 5, "mkdir -p"],
    [["-o", "/proc/a.html"], 5, "cannot be written"],
    [["--colour"], 2, "unknown option"],
  ])("record %j exits %d", async (args, code, words) => {
    const { harness, binding } = setUp();
    expect(await harness.run("record", ...args)).toBe(code);
    expect(harness.stderr.text).toContain(words);
    expect(harness.stderr.text).not.toMatch(/\n\s+at /);
    expect(binding.calls).toEqual([]);
    expect(harness.files()).toEqual([]);
  });

  it("names the process when --pid is one of its threads", async () => {
    const files = { "/proc/78/stat": procStat(78, 5), "/proc/78/status": "Name:\tx\nTgid:\t77\n" };
    const { harness } = setUp({}, { system: fakeSystem(files) });
    expect(await harness.run("record", "--pid", "78")).toBe(4);
    expect(harness.stderr.text).toContain("thread of process 77");
  });

  it("also comes as JSON", async () => {
    const { harness } = setUp();
    await harness.run("record", "--json", "-F", "0");
    expect(JSON.parse(harness.stdout.text)).toMatchObject({
      ok: false,
      exitCode: 2,
      error: { code: "BAD_FREQUENCY" },
    });
  });
});

describe("a recording that cannot start", () => {
  it.each(["open", "configure", "load", "attach", "activate"] as const)(
    "fails at %s with the addon's sentence, exit 3, and leaves nothing",
    async (step) => {
      const error = nativeError("EPERM_BPF", "BPF needs root: run it with sudo");
      const { harness } = setUp({ fail: { step, error } });
      expect(await harness.run("record", "-o", "r.html", "-o", "r.lowflame")).toBe(3);
      expect(harness.stderr.text).toContain("lowflame: BPF needs root: run it with sudo\n");
      expect(harness.files()).toEqual([]);
    },
  );

  it("keeps and names the capture when the addon fails on the way", async () => {
    const { harness } = setUp({ fail: { step: "finish", error: nativeError("EIO_BPF", "a map went away") } });
    expect(await harness.run("record", "-d", "50ms", "-o", "r.html")).toBe(3);
    const named = /kept in (\S+);/.exec(harness.stderr.text)?.[1];
    const events = await eventsOf(named!);
    expect(events.map((event) => event.type)).toEqual(["header", "batch", "damage"]);
  });
});

it("a fault after the recording does not take the recording with it", async () => {
  const analyze = async () => {
    throw new Error("a rule divides by zero");
  };
  const { harness } = setUp({}, { deps: { analyze } });
  expect(await harness.run("record", "-d", "50ms", "-o", "r.html")).toBe(1);
  const named = /kept in (\S+);/.exec(harness.stderr.text)?.[1];
  expect((await eventsOf(named!)).at(-1)?.type).toBe("end");
  expect(harness.files()).toEqual([expect.stringMatching(/^lowflame-partial-/)]);
});
