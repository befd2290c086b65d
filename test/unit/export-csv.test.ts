// Tables of sockets as CSV: RFC 4180, exact numbers, and cells that no spreadsheet takes for a formula.
import { describe, expect, test } from "vitest";
import { csvCell, writeCsv } from "../../src/export/csv.js";
import { CSV_TABLES } from "../../src/export/csv-tables.js";
import { renderProfile } from "../../src/export/index.js";
import { ns } from "../../src/model/units.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { addSockets, callTotal, SYS, socketProfile } from "./helpers/socket-example.js";
import { HOSTILE } from "./html-example.js";

/** Reads CSV by the grammar of RFC 4180, strictly. */
function parsed(text: string): string[][] {
  const rows: string[][] = [];
  const field = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)/y;
  let row: string[] = [];
  for (let at = 0; at < text.length; at = field.lastIndex) {
    field.lastIndex = at;
    const match = field.exec(text);
    if (!match) throw new Error(`not CSV at ${at}: ${JSON.stringify(text.slice(at, at + 40))}`);
    row.push(match[1]!.startsWith('"') ? match[1]!.slice(1, -1).replaceAll('""', '"') : match[1]!);
    if (match[2] === "\r\n") {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}

const profile = () => {
  const capture = new FakeCapture();
  return socketProfile(
    capture,
    addSockets(capture, { ...HOSTILE, process: '=HYPERLINK("http://x","y")\r\n' }),
  );
};
const tableOf = (table: (typeof CSV_TABLES)[number]) =>
  parsed(Buffer.from(writeCsv(profile(), table)).toString());
const column = (rows: string[][], title: string) => rows.slice(1).map((row) => row[rows[0]!.indexOf(title)]!);

describe("each table", () => {
  test.each(CSV_TABLES)("%s has a head and rows of its length", (table) => {
    const rows = tableOf(table);
    expect(rows.length).toBeGreaterThan(5);
    for (const row of rows) expect(row).toHaveLength(rows[0]!.length);
    const first = table === "tcp" ? ["endpoint", "role", "processes"] : ["pid", "process"];
    expect(rows[0]!.slice(0, first.length)).toEqual(first);
  });

  test("tcp has an end each, with who uses it and how full its queue was", () => {
    const rows = tableOf("tcp");
    const front = rows.findIndex(([name]) => name === "accepted on :80") - 1;
    const of = (title: string) => column(rows, title)[front];
    expect(["role", "processes", "accepted", "resets_received", "queue_max", "queue_limit"].map(of)).toEqual([
      "accepted",
      "nginx (2 processes)",
      "1800",
      "6",
      "12",
      "511",
    ]);
    expect(column(rows, "processes").join()).toContain('\'=HYPERLINK("http://x","y")');
    expect(column(rows, "connects_failed")).toContain("12");
  });

  test("keeps hostile names as text in one cell, where nothing runs them", () => {
    expect(column(tableOf("endpoints"), "process")).toContain('\'=HYPERLINK("http://x","y")\r\n');
    expect(column(tableOf("slow"), "stack").join()).toContain(HOSTILE.lock);
  });

  test("slow tells what has not returned, with ends, errors and stacks", () => {
    const rows = tableOf("slow");
    expect(column(rows, "finished").filter((cell) => cell === "no")).toHaveLength(2);
    expect(column(rows, "endpoint")).toContain("10.9.9.9:443");
    expect(column(rows, "result")).toContain("ECONNRESET");
    expect(column(rows, "stack")[1]).toMatch(/main;Cache::get\(\);.*__x64_sys_recvfrom/);
  });
});

test("a call without a descriptor has an empty cell for it", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  capture.slowCall(thread, [], { fd: -1, durationNs: ns(2e9) });
  capture.slowCall(thread, [], { fd: 0, durationNs: ns(1e9) });
  const text = Buffer.from(writeCsv(socketProfile(capture), "slow")).toString();
  expect(column(parsed(text), "fd")).toEqual(["", "0"]);
});

test("numbers are whole, to 2^53", () => {
  const capture = new FakeCapture();
  const { process } = capture.process(80, "nginx");
  const callTotals = [callTotal(process, SYS.read, [[2_000, 1]], { count: 2 ** 53 - 1, bytes: 2 ** 53 - 1 })];
  const text = Buffer.from(writeCsv(socketProfile(capture, { callTotals }), "calls")).toString();
  expect(column(parsed(text), "bytes")).toEqual(["9007199254740991"]);
});

test.each([
  ["plain", "plain"],
  ["a,b", '"a,b"'],
  ['say "x"', '"say ""x"""'],
  ["two\nlines", '"two\nlines"'],
  [" blank", '" blank"'],
  ["=1+1", "'=1+1"],
  ["+1", "'+1"],
  ["-1", "'-1"],
  ["@SUM(A1)", "'@SUM(A1)"],
  ["  =1", "'  =1"],
  ["\t=1", "'\t=1"],
  ["\uff1d1", "'\uff1d1"],
  ["", ""],
])("the cell %j becomes %j", (value, cell) => expect(csvCell(value)).toBe(cell));

test("numbers are no text: a negative one needs no guard, and null is empty", () => {
  expect([csvCell(-1), csvCell(0), csvCell(null)]).toEqual(["-1", "0", ""]);
});

test("rendering asks for a table by its name", async () => {
  const text = Buffer.from((await renderProfile("csv", profile(), [], "endpoints")) as Uint8Array).toString();
  expect(text).toMatch(/^pid,process,endpoint,role,protocol,/);
});
