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

/** A mean with the half width of its 95 % confidence interval. */
export interface Estimate {
  readonly mean: number;
  readonly halfWidth95: number;
  readonly count: number;
}

/**
 * Mean of values whose tails are long: the lowest and highest tenth are left out (trimmed mean), and the interval is
 * Tukey and McLaughlin's (winsorised deviation over the share that is kept, Student's t taken as normal: 20 or more values).
 */
export function estimate(values: readonly number[]): Estimate {
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length / 10);
  const kept = sorted.slice(cut, sorted.length - cut);
  const mean = average(kept);
  const winsorised = sorted.map((v) => Math.min(Math.max(v, kept[0]!), kept.at(-1)!));
  const middle = average(winsorised);
  const variance = winsorised.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (sorted.length - 1);
  const halfWidth95 = (1.96 * Math.sqrt(variance)) / (0.8 * Math.sqrt(sorted.length));
  return { mean, halfWidth95, count: sorted.length };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
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
