// Medians and spreads. Everything published is a median over interleaved rounds, with the lowest and highest beside it.

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
}

/** Median, lowest and highest of at least one value. */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error("spread of nothing");
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, low: sorted[0]!, high: sorted.at(-1)!, rounds: sorted.length };
}

/** "4.2 (3.9 to 5.0)". */
export function show(s: Spread, digits = 1, scale = 1): string {
  const f = (x: number) => (x * scale).toFixed(digits);
  return s.rounds === 1 ? f(s.median) : `${f(s.median)} (${f(s.low)} to ${f(s.high)})`;
}

/** A Markdown table. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i ? "--:" : "---"))), ...rows.map(line)].join("\n");
}
