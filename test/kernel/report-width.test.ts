// The report of a machine where everything is contended, recorded for real and looked at in windows of usual sizes: nothing
// scrolls sideways, no cell is cut that its tooltip does not have whole, and the culprits stand where one looks first.
import { createServer } from "node:http";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { ReportDocument } from "../../src/export/html/document.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { Child } from "../support/children.js";
import { freePorts } from "../support/ports.js";
import { startProgram } from "../support/programs.js";
import { recordWhile, sleep } from "../support/record.js";
import { reportBrowser } from "../support/report-browser.js";
import { startNginxProxy } from "../support/servers.js";
import { startWrk } from "../support/wrk.js";

const browser = reportBrowser();
const TABS = ["CPU", "Off-CPU", "Kernel locks", "User locks", "Sockets"];
const DELAY_MS = 120;
let slowEnd = "";
let report: ReportDocument;

/** A shell that asks the slow server without a time limit and, after the answer, waits for ever for another one. */
const patientClient = (port: number): Child =>
  Child.start([
    ...[
      "bash",
      "-c",
      'exec 3<>"/dev/tcp/127.0.0.1/$0"'.concat(
        String.raw`; printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&3; cat <&3`,
      ),
    ],
    String(port),
  ]);

beforeAll(async () => {
  const [port] = await freePorts(1);
  slowEnd = `127.0.0.1:${port}`;
  const slow = createServer((_, answer) => setTimeout(() => answer.end("slow"), DELAY_MS)).listen(port);
  const proxy = await startNginxProxy({ others: [port!] });
  const children: Child[] = [];
  try {
    const pipe = await startProgram("held-mutex", { args: ["--holds", "60", "--ms", "30"], hold: true });
    const convoy = await startProgram("lock-convoy", {
      args: ["--waiters", "7", "--holds", "20", "--ms", "120"],
      hold: true,
    });
    const { profile } = await recordWhile(
      { sources: ["cpu", "offcpu", "locks", "futex", "sockets"] },
      async () => {
        pipe.go();
        convoy.go();
        children.push(startWrk(proxy.url, { seconds: 2, connections: 8 }), patientClient(port!));
        await sleep(2_500);
      },
    );
    await Promise.all([pipe.stop(), convoy.stop()]);
    report = toDocument(profile, analyze(profile));
  } finally {
    for (const child of children) await child.stop("SIGKILL");
    await proxy.stop();
    slow.closeAllConnections();
    slow.close();
  }
}, 60_000);

/** Cells, of all tables that are to be seen, whose text is cut although their tooltip does not have it whole. */
const cutCells = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const isCut = (box: Element) =>
      box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    return [...document.querySelectorAll<HTMLElement>("td")]
      .filter((cell) => cell.offsetParent !== null)
      .filter((cell) =>
        [cell, ...cell.querySelectorAll(".clamp")].some((box) => box.clientWidth > 0 && isCut(box)),
      )
      .filter((cell) => !cell.title.includes(cell.textContent ?? ""))
      .map((cell) => cell.textContent ?? "");
  });

/** Tables that are wider than their place. */
const wideTables = (page: Page): Promise<string[]> =>
  page.evaluate(() =>
    [...document.querySelectorAll(".scroll-x")]
      .filter((box) => box.scrollWidth > box.clientWidth)
      .map((box) => `${box.querySelector("caption")?.textContent}: ${box.scrollWidth} > ${box.clientWidth}`),
  );

describe("the report of a contended machine", () => {
  test("has something in each tab", () => {
    const { calls, endpoints, tcp, slow, unfinished } = report.sockets!;
    for (const rows of [report.locks!.rows, report.futex!.rows, calls, endpoints, tcp, slow, unfinished])
      expect(rows.length).toBeGreaterThan(0);
    for (const { node } of report.sources) expect(node.length).toBeGreaterThan(0);
  });

  test.each([1024, 1280, 1920])(
    "fits a window of %i pixels, in every tab, with a row chosen",
    async (width) => {
      const page = await browser.open(report);
      await page.setViewportSize({ width, height: 800 });
      for (const tab of TABS) {
        await page.getByRole("tab", { name: tab, exact: true }).click();
        const panel = page.locator("[role=tabpanel]:not([hidden])");
        await panel.locator("details").evaluateAll((all) => {
          for (const each of all) (each as HTMLDetailsElement).open = true;
        });
        for (const table of await panel.locator(".table:has(tr.choice)").all())
          await table.locator("tbody tr").first().getByRole("button").click();
        expect(await wideTables(page), tab).toEqual([]);
        expect(await cutCells(page), tab).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth), tab).toBeLessThanOrEqual(
          width,
        );
      }
    },
  );

  test("names the lock and the slow end in titles, the locks on the first screen, and each first in its table", async () => {
    const page = await browser.open(report);
    await page.setViewportSize({ width: 1280, height: 800 });
    const seen = await page.evaluate(() =>
      [...document.querySelectorAll(".finding h3")]
        .filter((title) => title.getBoundingClientRect().bottom <= innerHeight)
        .map((title) => title.textContent ?? ""),
    );
    expect(seen.filter((title) => /user lock.*futex 0x\w+ of holder/.test(title)).length).toBeGreaterThan(0);
    expect(seen.filter((title) => /kernel lock.*mutex in \w*pipe_write/.test(title)).length).toBeGreaterThan(
      0,
    );
    expect((await page.locator(".finding h3").allTextContents()).join("\n")).toContain(slowEnd);
    const first = async (tab: string, table: string): Promise<string> => {
      await page.getByRole("tab", { name: tab, exact: true }).click();
      return page
        .locator(`${table} tbody tr`)
        .first()
        .textContent()
        .then((text) => text ?? "");
    };
    expect(await first("Kernel locks", "#panel-locks .locks > .table")).toMatch(
      /mutex in \w*pipe_(?:write|read)/,
    );
    expect(await first("User locks", "#panel-futex .locks > .table")).toMatch(/^futex 0x\w+ of holder/);
    await page.getByRole("tab", { name: "Sockets" }).click();
    const asked = page.locator(".answers tbody tr").filter({ hasText: "nginx" });
    expect(await asked.first().textContent()).toContain(slowEnd);
  });
});
