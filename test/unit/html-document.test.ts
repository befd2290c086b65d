// From a profile to the document of the report, and through the file back.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadPageAssets, type PageAssets } from "../../src/export/html/assets.js";
import { decodeColumns, encodeColumns } from "../../src/export/html/columns.js";
import type { ReportDocument } from "../../src/export/html/document.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { packDocument, writeHtml } from "../../src/export/html/write.js";
import { syscallName } from "../../src/model/syscalls.js";
import { ns } from "../../src/model/units.js";
import { unpackDocument } from "../../web/unpack.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture, k, u } from "./helpers/fake-capture.js";
import { exampleDocument, exampleProfile, HOSTILE } from "./html-example.js";

/** Columns as plain arrays, so that documents can be compared. */
const plain = (report: ReportDocument): unknown =>
  JSON.parse(
    JSON.stringify(report, (_, value) =>
      ArrayBuffer.isView(value) ? Array.from(value as Uint32Array) : value,
    ),
  );

describe("the document", () => {
  test("merges samples of one thread, stack, state and system call", () => {
    const capture = new FakeCapture();
    const { thread } = capture.process(7, "proxy");
    const stack = [u("_start"), u("main"), k("schedule")];
    capture.offcpu(thread, stack, { times: 3, durationNs: 5e6, weightNs: 5e6, syscall: 232 });
    capture.offcpu(thread, stack, { times: 2, durationNs: 1e6, weightNs: 1e6, flags: 16, syscall: 232 });
    capture.offcpu(thread, stack, { weightNs: 7e6, syscall: 0 });
    const report = toDocument(buildProfile(capture.events()), []);
    const source = report.sources.find((row) => row.source === "offcpu")!;
    expect(Array.from(source.weight).sort()).toEqual([17e6, 7e6]);
    expect(Array.from(source.syscall, (call) => report.syscalls[call]).sort()).toEqual([
      "epoll_wait",
      "read",
    ]);
  });

  test("keeps the whole weight of the profile", () => {
    const profile = exampleProfile({ hostile: true });
    const report = toDocument(profile, []);
    profile.weights.forEach((table, index) => {
      const sum = table.weightNs.subarray(0, table.count).reduce((left, right) => left + right, 0);
      expect(Array.from(report.sources[index]!.weight).reduce((left, right) => left + right, 0)).toBeCloseTo(
        sum,
        -3,
      );
    });
  });

  test("hides idle kernel threads, and those that wait for work, until asked", () => {
    const report = exampleDocument();
    const source = report.sources.find((row) => row.source === "offcpu")!;
    const stateOf = (comm: string): Set<string> => {
      const states = new Set<string>();
      for (let row = 0; row < source.node.length; row++) {
        if (report.threads[source.thread[row]!]!.comm === comm)
          states.add(source.states[source.state[row]!]!);
      }
      return states;
    };
    const hidden = source.hiddenStates.map((state) => source.states[state]);
    expect(stateOf("kworker/0:1")).toEqual(new Set(["idle"]));
    expect(stateOf("ksoftirqd/0")).toEqual(new Set(["kernel thread asleep"]));
    expect(hidden).toEqual(["idle", "kernel thread asleep"]);
    expect(stateOf("nginx")).toEqual(new Set(["interruptible", "preempted", "uninterruptible"]));
  });

  test("marks lowflame's own process", () => {
    const report = exampleDocument();
    expect(report.processes.filter((row) => row.self).map((row) => row.comm)).toEqual(["lowflame"]);
  });

  test("tables: run-queue percentiles, exact totals with the other row, system calls by name", () => {
    const { sources } = exampleDocument();
    const [runQueue, totals, calls] = sources.find((row) => row.source === "offcpu")!.tables;
    const [process, pid, waits, total, p50, p99, longest] = runQueue!.rows[0]!;
    expect([process, pid, waits, total, longest]).toEqual(["nginx", 4000, 1000, 31, 1900]);
    // 900 of 1,000 waits lie in bucket 3, 2,048 to 3,072 ns; the 990th ends bucket 12, 49,152 to 65,536 ns.
    expect(p50).toBeGreaterThan(2);
    expect(p50).toBeLessThan(3.1);
    expect(p99).toBeGreaterThan(49.1);
    expect(p99).toBeLessThanOrEqual(65.6);
    expect(totals!.rows[0]!.slice(0, 4)).toEqual(["nginx", 4000, "interruptible", 4100]);
    expect(totals!.rows.at(-1)![0]).toBe("(other: the table was full)");
    expect(calls!.rows.map((row) => row[0])).toEqual(["epoll_wait", "pread64"]);
  });

  test("cost is a share of the whole machine", () => {
    // (9.1 + 14.2) ms of BPF and 30 ms of the process in 10 s of 4 CPUs.
    expect(exampleDocument().cost?.text).toContain("0.133 % of this machine");
  });

  test("a note of the kernel side stands there once", () => {
    const note = "This kernel has no tp_btf hrtimer_expire_entry.";
    const events = new FakeCapture();
    events.cpu(events.process(1, "init").thread, [u("main")]);
    const report = toDocument(buildProfile(events.events({ start: { notes: [note] } })), []);
    expect(report.notes.filter((text) => text === note)).toHaveLength(1);
  });

  test("a capture without its end says that losses and cost are not known", () => {
    const events = new FakeCapture();
    events.cpu(events.process(1, "init").thread, [u("main")]);
    const report = toDocument(buildProfile(events.events().filter((event) => event.type !== "end")), []);
    expect(report.cost).toBeNull();
    expect(report.losses).toEqual([]);
    expect(report.notes.join(" ")).toContain("not known");
  });
});

describe("kernel locks in the document", () => {
  const rowOf = (report: ReportDocument, name: string) =>
    report.locks!.rows.find((lock) => lock.name.includes(name))!;

  test("a tab, and one row a lock with exact numbers; workers of one name are one waiter", () => {
    const report = exampleDocument({ locks: true });
    expect(report.sources.map((source) => source.title)).toEqual(["CPU", "Off-CPU", "Kernel locks"]);
    expect(report.locks!.rows).toHaveLength(2);
    const tasks = rowOf(report, "tasklist_lock");
    expect(tasks).toMatchObject({ kind: "spin lock", waits: 1000, maxNs: 7000, samples: 22, owners: [] });
    expect(tasks.waiters).toMatchObject([{ name: "nginx", processes: 2, waits: 1000 }]);
    expect(tasks.buckets[1]).toBe(600);
    expect(tasks.p50Ns).toBeGreaterThan(1024);
    expect(tasks.p50Ns).toBeLessThan(1536);
    const map = rowOf(report, "mmap_lock of nginx");
    expect(map.sumNs).toBeGreaterThan(tasks.sumNs);
    expect(report.locks!.rows[0]).toBe(map);
    expect(map.owners[0]!.name).toContain("php-fpm");
    expect(map.owners[0]!.share).toBeCloseTo(1);
  });

  test("rows of waits and of owners say which lock they are of, and add up to its exact total", () => {
    const report = exampleDocument({ locks: true });
    const waits = report.sources.find((source) => source.source === "locks")!;
    const weightOf = (source: typeof waits, name: string): number =>
      Array.from(source.weight).reduce(
        (sum, weight, row) =>
          report.locks!.rows[source.lock![row]!]?.name.includes(name) ? sum + weight : sum,
        0,
      );
    const [map, tasks] = [rowOf(report, "mmap_lock").sumNs, rowOf(report, "tasklist_lock").sumNs];
    expect(weightOf(waits, "tasklist_lock")).toBeCloseTo(tasks, -1);
    expect(weightOf(waits, "mmap_lock")).toBeCloseTo(map, -1);
    expect(weightOf(report.locks!.owners!, "mmap_lock")).toBeCloseTo(map, -1);
    expect(weightOf(report.locks!.owners!, "tasklist_lock")).toBe(0);
  });

  test("waits that found no row in the kernel's table are one row of any kind, and sampled ones belong to it", () => {
    const capture = new FakeCapture();
    const { thread } = capture.process(80, "nginx");
    capture.locks(thread, [k("pipe_write")], { lock: 77, durationNs: 5e6 });
    const other = {
      lock: -1,
      process: -1,
      count: 3,
      sumNs: ns(9e6),
      maxNs: ns(5e6),
      timeouts: 0,
      buckets: [0, 3],
    };
    const report = toDocument(buildProfile(capture.events({ final: { lockTotals: [other] } })), []);
    expect(report.locks!.rows).toMatchObject([
      { kind: "any", waits: 3, waiters: [{ name: "(other processes)", waits: 3 }] },
    ]);
    expect(Array.from(report.sources[0]!.lock!)).toEqual([0]);
  });

  test("recorded, but nobody waited: a tab that can say so", () => {
    const report = toDocument(buildProfile(new FakeCapture().events({ facts: { sources: ["locks"] } })), []);
    expect(report.sources.map((source) => source.source)).toEqual(["locks"]);
    expect(report.locks).toEqual({ rows: [], owners: null });
  });

  test("not recorded: no tab, no table", () => {
    const report = exampleDocument();
    expect(report.sources.map((source) => source.source)).toEqual(["cpu", "offcpu"]);
    expect(report.locks).toBeNull();
  });
});

describe("columns", () => {
  test.each([
    ["bytes", Array.from({ length: 100 }, (_, index) => index)],
    ["negative", Array.from({ length: 100 }, (_, index) => index - 50)],
    ["beyond 32 bits", Array.from({ length: 100 }, (_, index) => 2 ** 52 - index)],
    ["fractions", Array.from({ length: 100 }, (_, index) => index / 3)],
    ["mixed with text", [...Array.from({ length: 100 }, (_, index) => index), "x"]],
    ["short", [1, 2, 3]],
    ["empty", []],
  ])("come back as they were: %s", (_, values) => {
    const bytes = Buffer.concat([...encodeColumns({ values, list: [{ values }], text: "größe" })]);
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    const back = decodeColumns(buffer) as {
      values: Iterable<unknown>;
      list: [{ values: Iterable<unknown> }];
      text: string;
    };
    expect([...back.values]).toEqual(values);
    expect([...back.list[0].values]).toEqual(values);
    expect(back.text).toBe("größe");
  });
});

describe("the file", () => {
  const root = resolve(import.meta.dirname, "../..");
  const folder = mkdtempSync(join(tmpdir(), "lowflame-page-"));
  let assets: PageAssets;
  beforeAll(async () => {
    execFileSync(process.execPath, [join(root, "scripts/build-web.mjs"), "--out", folder]);
    assets = await loadPageAssets(folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("the document comes out of it unchanged", async () => {
    const report = exampleDocument({ hostile: true, locks: true });
    const html = (await writeHtml(report, assets)).toString("utf8");
    const base64 = /<script type="application\/octet-stream" id="document">([^<]*)<\/script>/.exec(html)![1]!;
    expect(base64).toMatch(/^[A-Za-z0-9+/]+=*$/);
    expect(plain(await unpackDocument(base64))).toEqual(plain(report));
  });

  test("nothing in it names another place to load from, and its policy forbids to ask", async () => {
    const html = (await writeHtml(exampleDocument(), assets)).toString("utf8");
    expect(html).toContain("default-src 'none'");
    expect(html).toContain("connect-src 'none'");
    expect(html).not.toMatch(/unsafe-(inline|eval)/);
    expect(html).not.toMatch(/<(script|link|img|iframe)[^>]*(src|href)="(?!data:)/);
    expect(html).not.toMatch(/@import|url\(/);
  });

  test("a hostile host name stays text", async () => {
    const report = exampleDocument();
    const html = (
      await writeHtml(
        { ...report, header: { ...report.header, title: `</title>${HOSTILE.process}` } },
        assets,
      )
    ).toString("utf8");
    expect(html).not.toContain(HOSTILE.process);
    expect(html).toContain("&#60;script&#62;alert(1)");
  });

  test("carries the licences of what it contains", () => {
    expect(assets.licences).toContain("d3-flame-graph 5.0.0");
    expect(assets.licences).toContain("Apache License");
    expect(assets.licences).toMatch(/d3-selection [\d.]+\n\nCopyright/);
  });

  test("a page that is not built is told with the command that builds it", async () => {
    await expect(loadPageAssets("/nonexistent/page")).rejects.toThrow(/npm run build:web/);
  });

  test("data that is cut is told in one sentence", async () => {
    const packed = (await packDocument(exampleDocument())).toString("base64");
    for (const part of [0, 0.1, 0.5, 0.99]) {
      await expect(unpackDocument(packed.slice(0, Math.floor(packed.length * part)))).rejects.toThrow(
        /cut or damaged/,
      );
    }
  });
});

describe("system call names", () => {
  test("x86-64 and arm64 number them differently", () => {
    expect([0, 1, 202, 232, 281, 435, 449].map((call) => syscallName("x86_64", call))).toEqual([
      "read",
      "write",
      "futex",
      "epoll_wait",
      "epoll_pwait",
      "clone3",
      "futex_waitv",
    ]);
    expect([22, 63, 64, 73, 98, 435].map((call) => syscallName("arm64", call))).toEqual([
      "epoll_pwait",
      "read",
      "write",
      "ppoll",
      "futex",
      "clone3",
    ]);
  });

  test("none, and unknown ones", () => {
    expect(syscallName("x86_64", -1)).toBe("");
    expect(syscallName("x86_64", 9999)).toBe("syscall 9999");
    expect(syscallName("mips", 4)).toBe("syscall 4");
  });
});
