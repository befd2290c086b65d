// The report's tab of kernel locks in a real browser: sorting, choosing a lock, and hostile names.
import type { Locator, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { reportBrowser } from "../support/report-browser.js";
import { exampleDocument, HOSTILE } from "../unit/html-example.js";

const { open: openReport } = reportBrowser();

describe("the tab of kernel locks", () => {
  async function openLocks(report = exampleDocument({ locks: true })): Promise<Page> {
    const page = await openReport(report);
    await page.getByRole("tab", { name: "Kernel locks" }).click();
    return page;
  }
  const rows = (page: Page): Locator => page.locator(".locks > .table tbody tr");
  const firstCells = (page: Page): Promise<string[]> =>
    page.locator(".locks > .table tbody tr td:first-child").allInnerTexts();
  const [map, tasks] = ["mmap_lock of nginx (pid 4100)", "tasklist_lock"];

  test("sorts its table by any column, both ways", async () => {
    const page = await openLocks();
    expect(await firstCells(page)).toEqual([map, tasks]);
    for (const [column, first, second] of [
      ["Waits", "descending", [tasks, map]],
      ["p50", "descending", [map, tasks]],
      ["Kind", "ascending", [map, tasks]],
      ["Lock", "ascending", [map, tasks]],
    ] as const) {
      const head = page.locator(".locks > .table th", { hasText: column }).first();
      await head.getByRole("button").click();
      expect(await head.getAttribute("aria-sort"), column).toBe(first);
      expect(await firstCells(page), column).toEqual(second);
      await head.getByRole("button").click();
      expect(await firstCells(page), column).toEqual([...second].reverse());
    }
  });

  test("a click on a row draws its waits and leaves only them in both graphs; a second click gives all back", async () => {
    const page = await openLocks();
    const [waiting, owners] = [page.locator(".lock-waiting"), page.locator(".lock-owners")];
    const has = (part: Locator, name: string): Promise<number> =>
      part.locator(`g.frame[name="${name}"]`).count();
    expect(await page.locator(".histogram").count()).toBe(0);
    expect([await has(waiting, "copy_process"), await has(waiting, "lock_mm_and_find_vma")]).toEqual([1, 1]);
    await rows(page).filter({ hasText: map }).locator("td").nth(2).click();
    expect(await rows(page).getByRole("button", { pressed: true }).allInnerTexts()).toEqual([map]);
    expect(await page.locator(".histogram .bar").count()).toBe(2);
    expect(await page.locator(".histogram .plot").getAttribute("aria-label")).toMatch(
      /^Histogram of 43 waits, from [\d.]+ µs on. Most, 40 waits, took/,
    );
    expect(await page.locator(".histogram .x-axis").textContent()).toMatch(/\d µs|\d ms/);
    expect([await has(waiting, "copy_process"), await has(waiting, "lock_mm_and_find_vma")]).toEqual([0, 1]);
    expect(await has(owners, "zap_pte_range")).toBe(1);
    await rows(page).filter({ hasText: map }).getByRole("button").click();
    expect(await page.locator(".histogram").count()).toBe(0);
    expect(await has(waiting, "copy_process")).toBe(1);
  });

  test("says so where nobody knows the owner, and All locks clears the choice", async () => {
    const page = await openLocks();
    await rows(page).getByRole("button", { name: tasks }).press("Enter");
    expect(await page.locator(".lock-owners .empty").textContent()).toMatch(
      /^Nobody is known to have held this lock/,
    );
    await page.getByRole("button", { name: "All locks" }).click();
    expect(await page.locator(".lock-owners .empty:visible").count()).toBe(0);
    const report = exampleDocument({ locks: true });
    const without = await openLocks({ ...report, locks: { ...report.locks!, owners: null } });
    expect(await without.locator(".lock-owners").textContent()).toMatch(/Not known in this recording/);
  });

  test("shows hostile names of locks and waiters as text", async () => {
    const report = exampleDocument({ locks: true, hostile: true });
    // As a document could have it that another program wrote: the analysis makes names fit to be printed.
    const hostile = report.locks!.rows.map((row) =>
      row.kind === "mutex"
        ? { ...row, name: HOSTILE.lock, callers: [{ name: HOSTILE.process, share: 1 }] }
        : row,
    );
    const page = await openLocks({ ...report, locks: { ...report.locks!, rows: hostile } });
    const shown = HOSTILE.lock.replace("\u202e", "⟨U+202E⟩");
    expect(await firstCells(page)).toContain(shown);
    await rows(page).getByRole("button", { name: shown }).click();
    expect(await page.locator(".choice-name").textContent()).toBe(shown);
    const names = (await page.locator(".lock-facts .name").allInnerTexts()).join("\n");
    for (const name of [HOSTILE.image, HOSTILE.process]) expect(names).toContain(name);
    expect(await page.locator(".locks img, .locks script").count()).toBe(0);
    await page.setViewportSize({ width: 380, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  });
});
