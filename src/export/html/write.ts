// One self-contained HTML file: script and style inline, the document as gzip in base64. It asks the network for
// nothing, and its Content-Security-Policy forbids the browser to do so.
import { createHash } from "node:crypto";
import { createGzip } from "node:zlib";
import { loadPageAssets, type PageAssets } from "./assets.js";
import { encodeColumns } from "./columns.js";
import type { ReportDocument } from "./document.js";

/** The document, by column, as gzip. Compression runs on the thread pool. */
export async function packDocument(document: ReportDocument): Promise<Buffer> {
  // Level 4: half the time of the default for a file that is a tenth larger.
  const gzip = createGzip({ level: 4 });
  const chunks: Buffer[] = [];
  gzip.on("data", (chunk: Buffer) => chunks.push(chunk));
  const done = new Promise<void>((resolve, reject) => {
    gzip.on("end", resolve);
    gzip.on("error", reject);
  });
  for (const piece of encodeColumns(document)) {
    if (!gzip.write(piece)) await new Promise<void>((resolve) => gzip.once("drain", () => resolve()));
  }
  gzip.end();
  await done;
  return Buffer.concat(chunks);
}

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

const hash = (text: string): string =>
  `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;

/** Script and style are inline, so nothing in them may look like their end tag. */
function guardInline(text: string, name: string): string {
  if (/<\/(script|style)|<!--/i.test(text)) {
    throw new Error(`The built page's ${name} contains an HTML end tag. Rebuild it: npm run build:web.`);
  }
  return text;
}

/**
 * Makes the report file.
 * @param assets the built page; by default that of this installation
 * @returns the bytes of the HTML file (UTF-8)
 * @throws Error if the page is not built
 */
export async function writeHtml(document: ReportDocument, assets?: PageAssets): Promise<Buffer> {
  const page = assets ?? (await loadPageAssets());
  const script = guardInline(page.script, "script");
  const style = guardInline(page.style, "style");
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "img-src data:",
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    // No string may become markup, whoever tries: the browser throws instead.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  const packed = await packDocument(document);
  const head = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>${escapeHtml(document.header.title)}</title>
<style>${style}</style>
</head>
<body>
<main id="report"><p class="wait">Unpacking the report…</p>
<noscript><p>This report needs JavaScript. It makes no network request.</p></noscript></main>
<template id="licences">${escapeHtml(page.licences)}</template>
<script type="application/octet-stream" id="document">`;
  const tail = `</script>
<script>${script}</script>
</body>
</html>
`;
  return Buffer.concat([
    Buffer.from(head, "utf8"),
    Buffer.from(packed.toString("base64"), "latin1"),
    Buffer.from(tail, "utf8"),
  ]);
}
