// The embedded document: base64 of gzip of JSON and columns (src/export/html/columns.ts).
import { decodeColumns } from "../src/export/html/columns.js";
import { REPORT_DOCUMENT_VERSION, type ReportDocument } from "../src/export/html/document.js";

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/**
 * Unpacks the document.
 * @throws Error with one sentence for the reader if the data is cut, damaged or of another version
 */
export async function unpackDocument(base64: string): Promise<ReportDocument> {
  let document: ReportDocument;
  try {
    const stream = new Blob([fromBase64(base64.trim())])
      .stream()
      .pipeThrough(new DecompressionStream("gzip"));
    document = decodeColumns(await new Response(stream).arrayBuffer()) as ReportDocument;
  } catch {
    throw new Error(
      "The data inside this file is cut or damaged. Copy the file again, or write the report again.",
    );
  }
  if (document.version !== REPORT_DOCUMENT_VERSION) {
    throw new Error(
      `The data inside this file is of version ${document.version}, not ${REPORT_DOCUMENT_VERSION}.`,
    );
  }
  return document;
}
