// A real browser for tests of the report: opens a document from disk and notices what must never happen there.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { loadPageAssets, type PageAssets } from "../../src/export/html/assets.js";
import type { ReportDocument } from "../../src/export/html/document.js";
import { writeHtml } from "../../src/export/html/write.js";

const ARGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking " +
  "--disable-component-update --disable-sync";
const root = resolve(import.meta.dirname, "../..");

export interface ReportBrowser {
  /** For files of the test; taken away after it. */
  readonly folder: string;
  /** The page as it is built now. */
  readonly assets: PageAssets;
  newPage(): Promise<Page>;
  /** Opens a document; resolves once it is painted. @param hash place in it, from "#" on */
  readonly open: (report: ReportDocument, hash?: string) => Promise<Page>;
  /** The same with a report that somebody else wrote. */
  readonly openFile: (file: string, hash?: string) => Promise<Page>;
}

/**
 * A browser for the tests of the calling file: started before them, closed after them. Each test fails that makes a page
 * ask for anything beyond its file, open a dialog, or log an error.
 */
export function reportBrowser(): ReportBrowser {
  const folder = mkdtempSync(join(tmpdir(), "lowflame-report-"));
  let context: BrowserContext;
  let assets: PageAssets;
  let trouble: string[] = [];

  beforeAll(async () => {
    execFileSync(process.execPath, [join(root, "scripts/build-web.mjs"), "--out", join(folder, "web")]);
    assets = await loadPageAssets(join(folder, "web"));
    context = await chromium.launchPersistentContext(join(folder, "profile"), {
      executablePath: "/usr/bin/chromium",
      args: ARGS.split(" "),
      viewport: { width: 1280, height: 900 },
      permissions: ["clipboard-read", "clipboard-write"],
    });
  });
  afterAll(async () => {
    await context?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    for (const page of context.pages().slice(1)) await page.close();
    expect(trouble).toEqual([]);
    trouble = [];
  });

  async function open(report: ReportDocument, hash = ""): Promise<Page> {
    const file = join(folder, "report.html");
    writeFileSync(file, await writeHtml(report, assets));
    return openFile(file, hash);
  }

  async function openFile(file: string, hash = ""): Promise<Page> {
    const url = pathToFileURL(file).href;
    const page = await context.newPage();
    page.on("request", (request) => {
      if (request.url().split("#")[0] !== url) trouble.push(`request: ${request.url().slice(0, 100)}`);
    });
    page.on("dialog", async (dialog) => {
      trouble.push(`dialog: ${dialog.message()}`);
      await dialog.dismiss();
    });
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning")
        trouble.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
    await page.goto(url + hash);
    await page.waitForFunction(() => performance.getEntriesByName("lowflame-painted").length > 0);
    return page;
  }

  return {
    folder,
    open,
    openFile,
    newPage: () => context.newPage(),
    get assets() {
      return assets;
    },
  };
}
