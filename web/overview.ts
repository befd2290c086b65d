// The top of the page: what was recorded, what was found, what was lost, what it cost.
import { WHOLE_EVENTS } from "../src/analysis/event-losses.js";
import type { Finding } from "../src/analysis/finding.js";
import type { ReportDocument } from "../src/export/html/document.js";
import { DataTable } from "./data-table.js";
import { copyButton, el } from "./dom.js";
import { linkTo } from "./place.js";
import { SOCKETS_TITLE } from "./socket-words.js";
import { duration, percent, visible } from "./text.js";

const SEVERITY_WORDS = { critical: "Critical", warning: "Warning", info: "Worth knowing" } as const;
const SEVERITY_ORDER = { critical: 0, warning: 1, info: 2 } as const;
const CONTRIBUTORS_SHOWN = 8;

function fact(name: string, value: string): HTMLElement {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

/** Title and facts of the recording. */
export function headerSection(report: ReportDocument): HTMLElement {
  const { header } = report;
  const sampling = report.sources.some((source) => source.source === "cpu");
  return el(
    "header",
    {},
    el("h1", {}, el("span", { class: "brand" }, "lowflame"), ` ${visible(header.host)}`),
    el(
      "dl",
      { class: "facts" },
      fact("Recorded", `${header.startedAt.replace("T", " ").replace(/\.\d+Z$/, " UTC")}`),
      fact("For", `${duration(header.durationNs)} (ended: ${visible(header.endReason)})`),
      fact(
        "Watched",
        header.filters.length > 0 ? header.filters.map(visible).join(", ") : "the whole machine",
      ),
      fact("Machine", `${header.cpus} CPUs, Linux ${visible(header.kernel)}`),
      sampling ? fact("Sampling", `${header.frequencyHz} times a second on each CPU`) : el("span"),
      fact("Command", visible(header.command)),
    ),
  );
}

/** What the link to the tab of a finding says; undefined where this report has no such tab. */
function linkText(finding: Finding, report: ReportDocument): string | undefined {
  if (finding.tab === "sockets") return report.sockets ? `Show it in the ${SOCKETS_TITLE} tab` : undefined;
  const tab = report.sources.find((source) => source.source === finding.tab);
  return tab && `Show it in the ${tab.title} graph`;
}

function findingCard(finding: Finding, report: ReportDocument, open: boolean): HTMLElement {
  const text = linkText(finding, report);
  const link =
    text && finding.tab
      ? el("a", { class: "go", href: linkTo({ tab: finding.tab, search: finding.search ?? "" }) }, text)
      : null;
  const contributors = finding.contributors.slice(0, CONTRIBUTORS_SHOWN);
  const rest = finding.contributors.length - contributors.length;
  const title = el(
    "h3",
    {},
    el("span", { class: "severity" }, SEVERITY_WORDS[finding.severity]),
    " ",
    visible(finding.title),
  );
  const body = [
    el("p", {}, visible(finding.detail)),
    contributors.length > 0
      ? el(
          "table",
          { class: "contributors" },
          el("caption", {}, "What makes it up"),
          el(
            "tbody",
            {},
            ...contributors.map((row) => {
              const bar = el("span", { class: "share", "aria-hidden": "true" });
              bar.style.width = `${Math.round(100 * Math.min(1, Math.max(0, row.share)))}px`;
              return el(
                "tr",
                {},
                el("td", { class: "number" }, percent(row.share)),
                el("td", { class: "bar" }, bar),
                el("td", { class: "name" }, visible(row.name)),
              );
            }),
          ),
        )
      : null,
    rest > 0 ? el("p", { class: "quiet" }, `and ${rest} smaller`) : null,
    finding.next.length > 0
      ? el(
          "ul",
          { class: "next", "aria-label": "Next steps" },
          ...finding.next.map((step) =>
            el(
              "li",
              {},
              el("code", {}, visible(step)),
              copyButton("Copy", () => visible(step)),
            ),
          ),
        )
      : null,
    link,
  ];
  return el(
    "article",
    { class: `finding ${finding.severity}`, "data-rule": finding.rule },
    el("details", { open }, el("summary", {}, title), ...body),
  );
}

/** Gravest first. */
const bySeverity = (findings: readonly Finding[]): Finding[] =>
  findings.toSorted((a, b) => SEVERITY_ORDER[a.severity] - SEVERITY_ORDER[b.severity]);

/** The tab of the gravest finding, unless that is merely worth knowing or has none. */
export function gravestTab(report: ReportDocument): string | undefined {
  const [gravest] = bySeverity(report.findings);
  return gravest?.severity === "info" ? undefined : gravest?.tab;
}

/**
 * The findings, gravest first: of all the title, which names the culprit, of the first the whole text. So all of them and
 * the graph are in sight at once.
 */
export function findingsSection(report: ReportDocument): HTMLElement {
  const findings = bySeverity(report.findings);
  return el(
    "section",
    { class: "findings", "aria-labelledby": "findings-title" },
    el("h2", { id: "findings-title" }, findings.length > 0 ? `Findings (${findings.length})` : "Findings"),
    ...(findings.length > 0
      ? findings.map((finding, place) =>
          findingCard(finding, report, place === 0 && finding.severity !== "info"),
        )
      : [el("p", { class: "quiet" }, "None of lowflame's rules found anything wrong in this recording.")]),
  );
}

/** Notes, losses and cost: short lines, with the whole tables folded away. */
export function honestySection(report: ReportDocument): HTMLElement {
  const lost = report.losses.filter((row) => row.count > 0).sort((a, b) => b.count - a.count);
  const events = lost.filter((row) => WHOLE_EVENTS.test(row.id));
  const losses = new DataTable({
    caption: "Every way to lose data, and how often it happened",
    columns: [
      { title: "Counter", numeric: false },
      { title: "Count", numeric: true },
      { title: "Meaning", numeric: false },
    ],
    portion: 100,
    empty: "The capture holds no counters.",
  });
  losses.setRows(
    report.losses.toSorted((a, b) => b.count - a.count).map((row) => [row.id, row.count, row.meaning]),
  );
  const summary =
    report.losses.length === 0
      ? "Lost: not known"
      : lost.length === 0
        ? `Lost: nothing (${report.losses.length} counters, all zero)`
        : `Lost: ${lost.map((row) => `${visible(row.id)} ${row.count.toLocaleString("en-US")}`).join(", ")}`;
  const cost = report.cost;
  return el(
    "section",
    { class: "honesty", "aria-label": "Notes, losses and cost" },
    report.notes.length > 0
      ? el("ul", { class: "notes" }, ...report.notes.map((note) => el("li", {}, visible(note))))
      : null,
    events.length > 0
      ? el(
          "ul",
          { class: "lost" },
          ...events.map((row) =>
            el(
              "li",
              {},
              el("strong", {}, row.count.toLocaleString("en-US")),
              ` ${visible(row.id)}: ${visible(row.meaning)}`,
            ),
          ),
        )
      : null,
    el("details", { class: "losses" }, el("summary", {}, summary), losses.element),
    cost
      ? el("details", { class: "cost" }, el("summary", {}, visible(cost.text)), plainTable(cost.rows))
      : el("p", { class: "quiet" }, "What lowflame cost is not known: the capture ends too early."),
  );
}

/** Columns whose numbers are names, not amounts: no thousands separators. */
const NUMBERED = new Set(["PID", "TID", "ID", "CPU"]);

/** A table of the document, as it is. */
export function plainTable(table: ReportDocument["sources"][number]["tables"][number]): HTMLElement {
  const view = new DataTable({
    caption: table.title,
    columns: table.columns.map((title, index) => ({
      title,
      ...(NUMBERED.has(title) ? { format: String } : {}),
      numeric:
        table.rows.length > 0 &&
        table.rows.every((row) => row[index] === "" || typeof row[index] === "number"),
    })),
    portion: 15,
    empty: "Nothing.",
  });
  view.setRows(table.rows);
  return view.element;
}
