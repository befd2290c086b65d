// The tab of sockets without a browser: what the document holds, cells of its tables, places on the timeline.
import { describe, expect, test } from "vitest";
import { programAnswers } from "../../src/analysis/socket-answers.js";
import { callsByProgram, endpointsByProgram } from "../../src/analysis/socket-sum.js";
import { rowMatches } from "../../web/choice-table.js";
import { functionNames } from "../../web/labels.js";
import { stackNames } from "../../web/slow-calls.js";
import {
  ANSWER_COLUMNS,
  answerRows,
  CALL_COLUMNS,
  ENDPOINT_COLUMNS,
  ownerText,
  SLOW_COLUMNS,
} from "../../web/socket-columns.js";
import { errorRows } from "../../web/socket-panel.js";
import { partsText } from "../../web/split-bar.js";
import { notes, queueText, TCP_COLUMNS } from "../../web/tcp-table.js";
import { lanesOf, placeOf } from "../../web/timeline.js";
import { exampleDocument } from "./html-example.js";

const report = exampleDocument({ sockets: true });
const sockets = report.sockets!;

describe("the document", () => {
  test("has sockets only where they were recorded, and no source of samples for them", () => {
    expect(exampleDocument().sockets).toBeNull();
    expect(report.sources.map(({ source }) => source)).toEqual(["cpu", "offcpu"]);
  });

  test("has the CPU samples inside of socket calls, and no others", () => {
    const names = functionNames(report);
    const { cpu } = sockets;
    expect(cpu!.node.length).toBeGreaterThan(0);
    for (const node of cpu!.node) expect(stackNames(report, names, node).join()).toMatch(/sock_|__sys_/);
    const all = report.sources.find(({ source }) => source === "cpu")!;
    expect(cpu!.node.length).toBeLessThan(all.node.length);
  });

  test("lists what has not returned before what idles", () => {
    expect(sockets.unfinished.map(({ waiting }) => waiting)).toEqual([false, true]);
  });
});

describe("tables", () => {
  const cellsOf = <Row>(columns: readonly { title: string; cell(row: Row): unknown }[], row: Row) =>
    Object.fromEntries(columns.map((column) => [column.title, column.cell(row)]));

  test("take the workers of a program together", () => {
    const row = callsByProgram(sockets.calls).find(({ call }) => call === "recvfrom")!;
    const nginx = callsByProgram(sockets.calls).find(
      ({ comm, call }) => comm === "nginx" && call === "recvfrom",
    )!;
    expect(row.call).toBe("recvfrom");
    expect(cellsOf(CALL_COLUMNS, nginx)).toMatchObject({
      ...{ Call: "recvfrom", Process: "nginx (2 processes)", Calls: 120_000, Errors: 40_024, Most: "EAGAIN" },
    });
  });

  test("show answers where there are some, and a dash elsewhere", () => {
    const ends = endpointsByProgram(sockets.endpoints);
    const of = (name: string) => cellsOf(ENDPOINT_COLUMNS, ends.find((row) => row.name === name)!);
    expect(of("10.0.0.2:8080")["Answer p50"]).toBeGreaterThan(3e8);
    expect(of("listening on :80")["Answer p50"]).toBe(-1);
    expect(of("listening on :80").EAGAIN).toBeCloseTo(1 / 3);
  });

  test("put the program's own answers below those that it waits for", () => {
    const nginx = answerRows(programAnswers(sockets.endpoints)).filter(
      ({ who, whom }) => who === "nginx" || whom === "nginx",
    );
    expect(nginx.map(({ who, own }) => [who, own])).toEqual([
      ["10.0.0.2:8080", false],
      ["10.0.0.1:8080", false],
      ["nginx", true],
    ]);
  });

  test("of TCP connections say who uses an end, how long connecting takes and how full the queue was", () => {
    const of = (name: string) => sockets.tcp.find((row) => row.name === name)!;
    expect(cellsOf(TCP_COLUMNS, of("10.0.0.2:8080"))).toMatchObject({
      ...{ Role: "remote", Processes: "nginx (2 processes)", Connects: 310, Failed: 0, "Sent again": 1 },
    });
    expect(cellsOf(TCP_COLUMNS, of("10.9.9.9:443"))).toMatchObject({ Failed: 12, p50: -1 });
    expect(queueText(of("accepted on :80"))).toBe("12 of 511");
    expect(queueText(of("10.0.0.2:8080"))).toBe("–");
    expect(rowMatches(TCP_COLUMNS, of("10.9.9.9:443"), "worker")).toBe(true);
  });

  test("of answers tell how fast the way is to each end that is asked", () => {
    const rows = answerRows(programAnswers(sockets.endpoints, sockets.tcp));
    const slow = cellsOf(ANSWER_COLUMNS, rows.find(({ who }) => who === "10.0.0.2:8080")!);
    expect(slow["To connect"]).toBeLessThan(250e3);
    expect(slow["Sent again"]).toBe(1);
    expect(cellsOf(ANSWER_COLUMNS, rows.find(({ own }) => own)!)["To connect"]).toBe(-1);
  });

  test("say of the machine what no end tells", () => {
    const [machine, closeWait] = notes(sockets);
    expect(machine).toContain("0 connections found the queue of a listening socket full");
    expect(closeWait).toBe(
      "In CLOSE-WAIT for the whole recording: 4 (4 of worker (pid 5100) at 10.0.0.7:5432, descriptor 19).",
    );
    expect(notes({ ...sockets, closeWaits: [], tcpCounters: null })).toEqual([]);
  });

  test("say for whom connections still waited, where a queue was full or this one is long", () => {
    const [row] = sockets.listenQueues;
    expect(row).toMatchObject({ comm: "worker", name: "listening on :80", length: 2 });
    const said = (listenOverflows: number, lengths: readonly number[]) =>
      notes({
        ...{ ...sockets, closeWaits: [], listenQueues: lengths.map((length) => ({ ...row!, length })) },
        tcpCounters: { listenOverflows, listenDrops: listenOverflows, closeWaitAtEnd: 0 },
      }).slice(1);
    const of = (text: string) => [`Connections that still waited to be accepted at the end: ${text}.`];
    const one = (length: number) => `${length} for worker (pid 5100), listening on :80`;
    expect(said(0, [9, 3])).toEqual([]);
    expect(said(0, [10, 9])).toEqual(of(one(10)));
    expect(said(1, [10, 9])).toEqual(of(`${one(10)}; ${one(9)}`));
    expect(said(1, [6, 5, 4, 3, 2, 1])).toEqual(of(`${[6, 5, 4, 3, 2].map(one).join("; ")}; …`));
  });

  test("of errors leave waiting calls out and say what each means", () => {
    expect(errorRows(sockets.calls)).toMatchObject([
      { name: "EAGAIN", count: 40_000 },
      { name: "ECONNRESET", count: 24, meaning: "the other side broke the connection off" },
    ]);
  });

  test("of errors follow the filter by process, call, name and meaning", () => {
    const names = (filter: string) => errorRows(sockets.calls, filter).map(({ name }) => name);
    expect(names(" NGINX ")).toEqual(["EAGAIN", "ECONNRESET"]);
    expect(names("recvfrom")).toEqual(["EAGAIN", "ECONNRESET"]);
    expect(names("broke the connection")).toEqual(["ECONNRESET"]);
    expect(names("writev")).toEqual([]);
  });

  test("of slow calls have no descriptor where the call has none", () => {
    const [call] = sockets.slow;
    expect(call!.fd).toBe(7);
    const column = SLOW_COLUMNS.find(({ title }) => title === "Descriptor")!;
    const text = (fd: number | null) => column.format!(Number(column.cell({ ...call!, fd })));
    expect([text(0), text(7), text(null)]).toEqual(["0", "7", ""]);
  });

  test("are filtered by their texts, not by their numbers", () => {
    const row = sockets.calls.find(({ call }) => call === "recvfrom")!;
    expect(rowMatches(CALL_COLUMNS, row, " RECV ")).toBe(true);
    expect(rowMatches(CALL_COLUMNS, row, "")).toBe(true);
    expect(rowMatches(CALL_COLUMNS, row, "60000")).toBe(false);
  });

  test("call lowflame itself by its name", () => {
    const owner = { comm: "node", pid: 9, process: 1, processes: 1, self: true };
    expect(ownerText(owner)).toBe("node (lowflame itself) (pid 9)");
  });
});

test("the bar of a row says what it shows", () => {
  expect(partsText({ busyNs: 62, blockedNs: 38, waitingNs: 0 })).toBe(
    "busy in the kernel 62.0 %, blocked 38.0 %",
  );
  expect(partsText({ busyNs: 0, blockedNs: 0, waitingNs: 0 })).toBe("no time");
});

describe("the timeline", () => {
  test("has a lane for each program, of too many one for the rest", () => {
    expect(lanesOf(sockets.slow).map(({ name, calls }) => [name, calls.length])).toEqual([["worker", 10]]);
    const many = Array.from({ length: 30 }, (_, n) => ({
      ...sockets.slow[0]!,
      comm: `p${n}`,
      durationNs: 99 - n,
    }));
    const lanes = lanesOf(many);
    expect(lanes).toHaveLength(12);
    expect(lanes.at(-1)).toMatchObject({ name: "19 other programs", calls: { length: 19 } });
  });

  test("keeps calls within the recording, whatever a damaged capture says", () => {
    expect(placeOf({ startNs: 25, endNs: 50 }, 100)).toEqual({ left: 25, width: 25 });
    expect(placeOf({ startNs: -50, endNs: 500 }, 100)).toEqual({ left: 0, width: 100 });
    expect(placeOf({ startNs: 1, endNs: 2 }, 0)).toEqual({ left: 0, width: 0 });
  });
});
