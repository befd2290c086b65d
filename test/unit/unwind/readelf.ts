// What binutils say of a file's call frame information: the oracle of the unwind tables.
import { execFileSync } from "node:child_process";
import type { Rule } from "./driver.js";

/** A row of `readelf --debug-dump=frames-interp`: holds in [begin, end); columns as readelf writes them. */
export interface OracleRow {
  readonly begin: number;
  readonly end: number;
  readonly cfa: string;
  readonly rbp: string;
  readonly ra: string;
}

// a separate debug file, if there is one, is not asked: its .eh_frame is empty
const readelf = (what: string, file: string) =>
  execFileSync("readelf", ["-W", `--debug-dump=no-follow-links,${what}`, file], {
    encoding: "utf8",
    maxBuffer: 1 << 29,
  }).split("\n");

/** All rows of all functions of a file, by section and FDE. */
export function frameRows(file: string): OracleRow[] {
  const rows: OracleRow[] = [];
  const cies = new Map<string, Pick<OracleRow, "cfa" | "rbp" | "ra">>();
  let columns: string[] = [];
  let cie = "";
  let fde: { begin: number; end: number; cie: string } | undefined;
  let inFde: OracleRow[] = [];
  const finish = () => {
    if (!fde) return;
    const { begin, end } = fde;
    const own = cies.get(fde.cie);
    // without instructions of its own a function has its CIE's row
    if (!inFde.length && own) inFde.push({ begin, end, ...own });
    inFde.forEach((row, i) => {
      rows.push({ ...row, end: inFde[i + 1]?.begin ?? end });
    });
    fde = undefined;
    inFde = [];
  };
  for (const line of readelf("frames-interp", file)) {
    const head =
      /^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ (CIE|FDE)(?:.* cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+))?/.exec(
        line,
      );
    if (head) {
      finish();
      columns = [];
      if (head[2] === "CIE") cie = head[1]!;
      else fde = { begin: parseInt(head[4]!, 16), end: parseInt(head[5]!, 16), cie: head[3]! };
      continue;
    }
    if (/^ +LOC/.test(line)) columns = line.trim().split(/ +/);
    // "r5 (rdi)" is one column
    const cells = line.trim().replace(/ \(/g, "(").split(/ +/);
    if (!columns.length || !/^[0-9a-f]{16}$/.test(cells[0]!)) continue;
    const cell = (name: string) => cells[columns.indexOf(name)] ?? "u";
    const row = { cfa: cell("CFA"), rbp: columns.includes("rbp") ? cell("rbp") : "u", ra: cell("ra") };
    if (fde) inFde.push({ begin: parseInt(cells[0]!, 16), end: fde.end, ...row });
    else cies.set(cie, row);
  }
  finish();
  return rows;
}

/** A CFA by expression, as `readelf --debug-dump=frames` spells it, from `address` on. */
export interface OracleExpression {
  readonly address: number;
  readonly text: string;
}

/** Every DW_CFA_def_cfa_expression of a file whose address is known. */
export function cfaExpressions(file: string): OracleExpression[] {
  const found: OracleExpression[] = [];
  let address = Number.NaN;
  let last: OracleExpression | undefined;
  for (const line of readelf("frames", file)) {
    const fde = / FDE .* pc=([0-9a-f]+)\.\./.exec(line);
    const advance = /DW_CFA_advance_loc\d?: .* to ([0-9a-f]+)/.exec(line);
    if (fde || advance) {
      if (last) found.push(last);
      last = undefined;
      address = parseInt((fde ?? advance)![1]!, 16);
    } else if (/ CIE /.test(line)) address = Number.NaN;
    const expression = /DW_CFA_def_cfa_expression \((.*)\)$/.exec(line);
    if (expression && address) last = { address, text: expression[1]! };
    // the expression is replaced before an instruction runs by it
    else if (/DW_CFA_(def_cfa|restore_state)/.test(line)) last = undefined;
  }
  if (last) found.push(last);
  return found;
}

/** CFA of an expression in readelf's words; undefined: none that the walker has. */
export function cfaOfExpression(text: string): Pick<Rule, "cfa" | "cfaOffset" | "cfaAdd"> {
  const plt =
    /^DW_OP_breg7 \(rsp\): 8; DW_OP_breg16 \(rip\): 0; DW_OP_lit15; DW_OP_and; DW_OP_lit(\d+); DW_OP_ge; DW_OP_lit3; DW_OP_shl; DW_OP_plus$/.exec(
      text,
    );
  if (plt) return { cfa: "plt", cfaOffset: 8, cfaAdd: Number(plt[1]) };
  const deref = /^DW_OP_breg(6|7) \(r[bs]p\): (-?\d+); DW_OP_deref(?:; DW_OP_plus_uconst: (\d+))?$/.exec(
    text,
  );
  if (!deref) return { cfa: "unsupported", cfaOffset: 0, cfaAdd: 0 };
  const cfa = deref[1] === "7" ? "derefSp" : "derefFp";
  return { cfa, cfaOffset: Number(deref[2]), cfaAdd: Number(deref[3] ?? 0) };
}

/** Whether a rule says what readelf's row says; expressions, which it writes as "exp", only by their kind. */
export function agrees(rule: Rule, row: OracleRow): boolean {
  if (row.ra === "u") return rule.cfa === "end";
  if (row.cfa === "exp" && row.ra === "exp" && row.rbp === "exp") return /signal|unsupported/.test(rule.cfa);
  if (row.ra !== "c-8") return rule.cfa === "unsupported";
  const cfa = /^(r\w+)([+-]\d+)$/.exec(row.cfa);
  if (!cfa) {
    if (rule.cfa === "unsupported") return true;
    if (!/^(plt|derefSp|derefFp)$/.test(rule.cfa)) return false;
  } else {
    const offset = Number(cfa[2]);
    if (cfa[1] !== "rsp" && cfa[1] !== "rbp") return rule.cfa === "unsupported";
    // its return address has been popped already
    if (cfa[1] === "rsp" && offset < 8) return rule.cfa === "end";
    if (rule.cfa !== (cfa[1] === "rsp" ? "sp" : "fp") || rule.cfaOffset !== offset || rule.cfaAdd)
      return false;
  }
  if (row.rbp === "u" || row.rbp === "s") return rule.fp === "same";
  const saved = /^c([+-]\d+)$/.exec(row.rbp);
  if (saved) return rule.fp === "cfa" && rule.fpOffset === Number(saved[1]);
  return row.rbp === "exp" ? /^(derefFp|lost)$/.test(rule.fp) : rule.fp === "lost";
}
