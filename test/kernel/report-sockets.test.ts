// The report's tab of sockets in a real browser: sorting, filtering, choosing rows, the timeline, and hostile names.
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { reportBrowser } from "../support/report-browser.js";
import { exampleDocument, HOSTILE } from "../unit/html-example.js";

const { open: openReport } = reportBrowser();

describe("the tab of sockets", () => {
  async function openSockets(hostile = false): Promise<Page> {
    const page = await openReport(exampleDocument({ sockets: true, hostile }), "#tab=sockets&search=");
    await page.locator(".sockets").waitFor();
    return page;
  }
  const names = (page: Page, part: string): Promise<string[]> =>
    page.locator(`.sockets .${part} > .table tbody tr td:first-child`).allInnerTexts();

  test("begins with who keeps whom waiting, the slow upstream first", async () => {
    const page = await openSockets();
    expect((await names(page, "answers")).slice(0, 3)).toEqual(["10.0.0.2:8080", "10.0.0.1:8080", "nginx"]);
    expect(await page.locator(".sockets .split").first().getAttribute("aria-label")).toMatch(/busy|blocked/);
  });

  test("sorts other ends by any column, both ways", async () => {
    const page = await openSockets();
    for (const column of ["Calls", "Total", "Other end"]) {
      const head = page.locator(".sockets .endpoints th", { hasText: column }).first();
      await head.getByRole("button").click();
      const first = await names(page, "endpoints");
      await head.getByRole("button").click();
      expect((await names(page, "endpoints"))[0], column).toBe(first.at(-1));
    }
  });

  test("filters all its tables by text, and splits programs into processes", async () => {
    const page = await openSockets();
    await page.getByPlaceholder("Filter by call, end, process").fill("10.0.0.2");
    await page.waitForFunction(() => document.querySelectorAll(".endpoints tbody tr").length === 1);
    expect(await names(page, "endpoints")).toEqual(["10.0.0.2:8080"]);
    await page.getByLabel("Processes of one name together").uncheck();
    expect(await names(page, "endpoints")).toEqual(["10.0.0.2:8080", "10.0.0.2:8080"]);
  });

  test("draws histograms when a row is chosen, and takes them away again", async () => {
    const page = await openSockets();
    expect(await page.locator(".sockets .histogram").count()).toBe(0);
    await page.locator(".sockets .endpoints").getByRole("button", { name: "10.0.0.2:8080" }).click();
    expect(await page.locator(".endpoint-detail .histogram").count()).toBe(2);
    expect(await page.locator(".endpoint-detail .plot").first().getAttribute("aria-label")).toMatch(
      /^Histogram of 800 answers/,
    );
    await page.locator(".sockets .endpoints").getByRole("button", { name: "10.0.0.2:8080" }).click();
    expect(await page.locator(".sockets .histogram").count()).toBe(0);
  });

  test("shows slow calls on a timeline; a click on one shows its stack", async () => {
    const page = await openSockets();
    expect(await page.locator(".timeline .line .part").count()).toBe(11);
    await page.locator(".timeline .line .part").first().click();
    expect(await page.locator(".slow-calls .stack").textContent()).toContain("Cache::get()");
    expect(await page.locator(".slow-calls tr.chosen").count()).toBe(1);
    expect(await page.locator(".slow-calls").textContent()).toContain("10.9.9.9:443");
  });

  test("has a flame graph of the time inside of socket calls", async () => {
    const page = await openSockets();
    expect(await page.locator('.socket-cpu g.frame[name="sock_write_iter"]').count()).toBeGreaterThan(0);
    expect(await page.locator('.socket-cpu g.frame[name="ngx_http_parse_header_line"]').count()).toBe(0);
  });

  test("shows hostile names as text, also on a narrow screen", async () => {
    const page = await openSockets(true);
    const text = await page.locator(".sockets").textContent();
    expect(text).toContain(HOSTILE.process);
    expect(text).toContain("<img src=x onerror");
    expect(await page.locator(".sockets img, .sockets script").count()).toBe(0);
    await page.setViewportSize({ width: 380, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });

  test("can be looked at", async () => {
    const page = await openSockets(true);
    if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT, fullPage: true });
  });
});
