// The report in a real browser, opened from disk: what a reader does there, and what hostile names must not do.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Locator, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { writeHtml } from "../../src/export/html/write.js";
import { reportBrowser } from "../support/report-browser.js";
import { exampleDocument, HOSTILE } from "../unit/html-example.js";

const browser = reportBrowser();
const openReport = browser.open;

const frame = (page: Page, name: string): Locator =>
  page.locator(`[role=tabpanel]:not([hidden]) g.frame[name=${JSON.stringify(name)}]`);
const functionRows = (page: Page): Locator =>
  page.locator("[role=tabpanel]:not([hidden]) .functions tbody tr");
const width = async (locator: Locator): Promise<number> => (await locator.first().boundingBox())!.width;

describe("the report page", () => {
  test("shows what was recorded, found, lost, and what it cost", async () => {
    const page = await openReport(exampleDocument());
    const text = await page.locator("#report").textContent();
    for (const part of ["edge-1", "the whole machine", "Linux 6.18.0", "lowflame record -d 10s"])
      expect(text).toContain(part);
    const severities = await page.locator(".finding .severity").allInnerTexts();
    expect(severities.map((word) => word.toLowerCase())).toEqual(["critical", "warning", "worth knowing"]);
    expect(text).toContain("sudo bpftool prog show id 6121 --pretty");
    expect(text).toMatch(/stack\.user_unreadable 37/);
    expect(text).toContain("lowflame used 0.0533 s of CPU time");
    await page.locator("details.losses summary").click();
    await expect.poll(() => page.locator("details.losses tbody tr").count()).toBe(3);
  });

  test("zooms by click, back by key, and resets", async () => {
    const page = await openReport(exampleDocument());
    const all = await width(frame(page, "all"));
    expect(await width(frame(page, "ngx_unix_send"))).toBeLessThan(all / 2);
    await frame(page, "ngx_unix_send").first().click();
    // The outline of the selected frame is part of its box.
    expect(Math.abs((await width(frame(page, "ngx_unix_send"))) - all)).toBeLessThan(4);
    expect(await frame(page, "bpf_prog_6deef7357e7b4530_count_calls").count()).toBe(0);
    await page.getByRole("button", { name: "Reset zoom" }).click();
    expect(await width(frame(page, "ngx_unix_send"))).toBeLessThan(all / 2);
    await page.locator(".flame-scroll").focus();
    for (const key of ["Home", "ArrowUp", "ArrowUp", "Enter"]) await page.keyboard.press(key);
    expect(await page.locator(".frame-detail .frame-name").textContent()).not.toBe("all");
    await page.keyboard.press("Escape");
    expect(await page.getByRole("button", { name: "Reset zoom" }).isDisabled()).toBe(true);
  });

  test("the tooltip gives absolute and relative time, module and kind", async () => {
    const page = await openReport(exampleDocument());
    await frame(page, "tcp_sendmsg").first().hover();
    const tip = await page.locator(".tip.on").textContent();
    expect(tip).toMatch(/tcp_sendmsg/);
    expect(tip).toMatch(/Total [\d.]+ s, [\d.]+ % of the time shown/);
    expect(tip).toMatch(/Self 0 ns, 0 %/);
    expect(tip).toMatch(/kernel, \[kernel\]/);
  });

  test("searches: count, share, and highlight; a wrong expression is told", async () => {
    const page = await openReport(exampleDocument());
    const box = page.getByPlaceholder("Search frames");
    await box.fill("native_queued");
    const found = page.locator(".found");
    await expect.poll(() => found.textContent()).toMatch(/^2 frames match: [\d.]+ % of the time shown/);
    expect(await page.locator("g.frame.match").count()).toBe(2);
    await box.fill("/(/");
    await expect.poll(() => found.textContent()).toMatch(/Not a regular expression/);
    await page.getByRole("button", { name: "Clear" }).click();
    expect(await page.locator("g.frame.match").count()).toBe(0);
  });

  test("filters by process and thread; lowflame itself is apart", async () => {
    const page = await openReport(exampleDocument());
    expect(await frame(page, "perf_poll").count()).toBe(0);
    const process = page.getByLabel("Process", { exact: true });
    await process.selectOption({ label: "lowflame itself" });
    expect(await frame(page, "perf_poll").count()).toBe(1);
    expect(await frame(page, "nginx").count()).toBe(0);
    const node = await page.locator("option", { hasText: /^node \(pid 5000\)/ }).textContent();
    await process.selectOption({ label: node! });
    expect(await frame(page, "uv_run").count()).toBe(1);
    expect(await frame(page, "nginx").count()).toBe(0);
    const threads = await page.getByLabel("Thread", { exact: true }).locator("option").allInnerTexts();
    expect(threads).toEqual(["all threads", "node", "node (tid 5000)"]);
  });

  test("the off-CPU tab hides idle kernel threads until asked, and has its tables", async () => {
    const page = await openReport(exampleDocument());
    await page.getByRole("tab", { name: "CPU", exact: true }).focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.getByRole("tab", { name: "Off-CPU" }).getAttribute("aria-selected")).toBe("true");
    expect(await frame(page, "kworker/0:1").count()).toBe(0);
    expect(await page.locator("#panel-offcpu .shown").textContent()).toMatch(
      /Left out unless ticked: 18\.0 s/,
    );
    await page.getByLabel("idle kernel threads").check();
    expect(await frame(page, "kworker/0:1").count()).toBe(1);
    for (const label of ["asleep (interruptible)", "preempted", "idle kernel threads"])
      await page.getByLabel(label).uncheck();
    expect(await frame(page, "io_schedule").count()).toBe(1);
    expect(await frame(page, "ep_poll").count()).toBe(0);
    const captions = await page.locator("#panel-offcpu caption").allInnerTexts();
    expect(captions.join("\n")).toMatch(/Waiting for a CPU[\s\S]*Time off the CPU[\s\S]*System calls/);
  });

  test("the table of functions sorts, filters, and finds its functions in the graph", async () => {
    const page = await openReport(exampleDocument());
    await expect
      .poll(() => functionRows(page).first().textContent())
      .toMatch(/^native_queued_spin_lock_slowpath/);
    await page.getByRole("button", { name: "Total", exact: true }).click();
    expect(await page.locator("th[aria-sort=descending]").first().textContent()).toMatch(/^Total/);
    expect(await functionRows(page).first().textContent()).toMatch(/^(main|_start|ngx_)/);
    await page.getByPlaceholder("Filter functions").fill("libc.so");
    await expect.poll(() => functionRows(page).count()).toBe(1);
    await functionRows(page).getByRole("button", { name: "memcpy" }).click();
    expect(await page.locator(".found").textContent()).toMatch(/^1 frame matches/);
    expect(await page.locator("g.frame.match").getAttribute("name")).toBe("memcpy");
  });

  test("opens at the tab of the gravest finding, which alone is open; the others are a title", async () => {
    const report = exampleDocument({ locks: true });
    const findings = report.findings.map((finding) =>
      finding.severity === "critical" ? { ...finding, tab: "locks" as const } : finding,
    );
    const page = await openReport({ ...report, findings });
    expect(await page.getByRole("tab", { selected: true }).textContent()).toBe("Kernel locks");
    expect(await page.locator(".finding.critical details[open]").count()).toBe(1);
    expect(await page.locator(".finding details[open]").count()).toBe(1);
  });

  test("the link of a finding opens its tab and searches, also the second time", async () => {
    const page = await openReport(exampleDocument());
    const link = page.locator("[data-rule=foreign-bpf] a.go");
    await page.locator("[data-rule=foreign-bpf] summary").click();
    for (let time = 0; time < 2; time++) {
      await page.getByRole("tab", { name: "Off-CPU" }).click();
      await link.click();
      const tab = page.getByRole("tab", { name: "CPU", exact: true });
      await expect.poll(() => tab.getAttribute("aria-selected")).toBe("true");
      await expect.poll(() => page.locator("#panel-cpu .search").inputValue()).toBe("count_calls");
      await expect.poll(() => page.locator("g.frame.match").count()).toBeGreaterThan(0);
    }
  });

  test("copies the stack of a frame, by button and by key", async () => {
    const page = await openReport(exampleDocument());
    const clipboard = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText());
    await frame(page, "memcpy").first().click();
    await page.getByRole("button", { name: "Copy stack" }).click();
    await expect.poll(clipboard).toMatch(/^nginx;_start;main;ngx_master_process_cycle;.*;memcpy \d+$/);
    await page.locator(".flame-scroll").focus();
    for (const key of ["Escape", "Home", "c"]) await page.keyboard.press(key);
    await expect.poll(clipboard).toMatch(/^ \d+$/);
    await page.locator("[data-rule=foreign-bpf] summary").click();
    await page.locator("[data-rule=foreign-bpf] .next button").first().click();
    await expect.poll(clipboard).toBe("sudo bpftool prog show id 6121 --pretty");
  });

  test("a stack of 320 frames scrolls, as flame and as icicle", async () => {
    const page = await openReport(exampleDocument());
    const scroll = page.locator(".flame-scroll");
    const [inner, outer] = await scroll.evaluate((element) => [element.scrollHeight, element.clientHeight]);
    expect(inner).toBeGreaterThan(320 * 18);
    expect(outer).toBeLessThan(900);
    const top = async (): Promise<number> => (await frame(page, "all").boundingBox())!.y;
    const box = (await scroll.boundingBox())!;
    expect(await top()).toBeGreaterThan(box.y + box.height / 2);
    await page.getByRole("button", { name: "Icicle" }).click();
    expect(await top()).toBeLessThan(box.y + 40);
  });
});

describe("hostile names", () => {
  test("are text everywhere: graph, tooltip, detail, lists, table, copies", async () => {
    const page = await openReport(exampleDocument({ hostile: true }));
    await expect.poll(() => functionRows(page).count()).toBeGreaterThan(10);
    const elements = (): Promise<string[]> =>
      page
        .locator("#report script, #report img, #report b, #report iframe, .tip img, .tip script")
        .allInnerTexts();
    for (const name of [
      HOSTILE.process,
      HOSTILE.image,
      HOSTILE.quotes,
      "__proto__",
      "constructor",
      HOSTILE.broken,
    ]) {
      await page.getByPlaceholder("Search frames").fill(`=${name}`);
      const match = page.locator("g.frame.match");
      await expect.poll(() => match.getAttribute("name")).toBe(name);
      await match.hover();
      expect(await page.locator(".tip.on .tip-name").textContent()).toBe(name);
      await match.click();
      expect(await page.locator(".frame-name").textContent()).toBe(name);
    }
    expect(await frame(page, "safe⟨U+202E⟩gnp.exe").count()).toBe(1);
    await page.getByRole("button", { name: "Reset zoom" }).click();
    await page.getByRole("button", { name: "Clear" }).click();
    const longest = page.locator("g.frame[name^='std::map<']");
    await longest.click();
    expect(await page.locator(".frame-name").textContent()).toBe(HOSTILE.long);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    expect(
      await page
        .getByLabel("Process", { exact: true })
        .locator("option", { hasText: HOSTILE.process })
        .count(),
    ).toBe(2);
    expect(await elements()).toEqual([]);
  });
});

describe("what is not there is explained", () => {
  test("an idle machine", async () => {
    const report = exampleDocument();
    const none = report.sources.map((source) => ({
      ...source,
      thread: [],
      node: [],
      weight: [],
      state: [],
      syscall: [],
      tables: [],
    }));
    const page = await openReport({ ...report, sources: none, findings: [], losses: [] });
    expect(await page.locator(".empty:visible").textContent()).toMatch(
      /No samples: the machine was idle for the whole 10/,
    );
    expect(await page.locator(".findings").textContent()).toMatch(/None of lowflame's rules/);
  });

  test("a filter that matches nothing, and losses", async () => {
    const report = exampleDocument();
    const sources = report.sources.map((source) => ({
      ...source,
      thread: [],
      node: [],
      weight: [],
      state: [],
      syscall: [],
    }));
    const page = await openReport({
      ...report,
      sources,
      header: { ...report.header, filters: ["pid 4711"] },
    });
    const reason = await page.locator(".empty:visible").textContent();
    expect(reason).toMatch(/nothing that matches pid 4711 ran on a CPU/);
    expect(reason).toMatch(/37 events were lost/);
  });

  test("data of another version", async () => {
    const page = await browser.newPage();
    const file = join(browser.folder, "other.html");
    writeFileSync(file, await writeHtml({ ...exampleDocument(), version: 3 as 2 }, browser.assets));
    await page.goto(pathToFileURL(file).href);
    await expect.poll(() => page.locator("[role=alert]").textContent()).toMatch(/version 3, not 2/);
  });
});

test("fits a narrow window and a dark screen without scrolling sideways", async () => {
  const page = await openReport(exampleDocument());
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 380, height: 800 });
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  const background = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  expect(background).toBe("rgb(20, 23, 27)");
  await expect.poll(() => width(page.locator("svg.d3-flame-graph"))).toBeLessThan(380);
});

test("many frames stay quick to draw: few are handed over, none is missing from the numbers", async () => {
  const report = exampleDocument();
  const base = report.tree.parent.length;
  const extra = 200_000;
  const leaf = { thread: 0, weight: 1000, state: 0, syscall: -1 };
  const cpu = report.sources[0]!;
  const extend = <Value>(values: Iterable<Value>, value: (index: number) => Value): Value[] => [
    ...values,
    ...Array.from({ length: extra }, (_, index) => value(index)),
  ];
  const page = await openReport({
    ...report,
    tree: {
      parent: extend(report.tree.parent, (index) => (index % 7 === 0 ? 0 : base + index - 1)),
      func: extend(report.tree.func, (index) => 1 + (index % 20)),
    },
    sources: [
      {
        ...cpu,
        thread: extend(cpu.thread, () => leaf.thread),
        node: extend(cpu.node, (index) => base + index),
        weight: extend(cpu.weight, () => leaf.weight),
        state: extend(cpu.state, () => leaf.state),
        syscall: extend(cpu.syscall, () => leaf.syscall),
      },
    ],
  });
  expect(await page.locator("g.frame").count()).toBeLessThan(6001);
  await page.getByPlaceholder("Search frames").fill("/./");
  await expect.poll(() => page.locator(".found").textContent()).toMatch(/^200,\d\d\d frames match: 100\.0 %/);
});
