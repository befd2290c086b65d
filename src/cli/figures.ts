// Numbers as people read them: durations, shares, counts, bytes.

/** Nanoseconds with the unit that suits: "1.23 s", "45.6 ms", "7.8 us", "90 ns". */
export function duration(ns: number): string {
  if (ns >= 3_600e9) return `${(ns / 3_600e9).toFixed(1)} h`;
  if (ns >= 600e9) return `${(ns / 60e9).toFixed(1)} min`;
  if (ns >= 1e9) return `${significant(ns / 1e9)} s`;
  if (ns >= 1e6) return `${significant(ns / 1e6)} ms`;
  if (ns >= 1e3) return `${significant(ns / 1e3)} us`;
  return `${Math.round(ns)} ns`;
}

/** A share of a whole (0 to 1) as "12.3 %"; what is not zero is never shown as 0. */
export function percent(share: number): string {
  const value = share * 100;
  if (value > 0 && value < 0.001) return "< 0.001 %";
  return `${value < 0.1 && value > 0 ? value.toFixed(3) : value.toFixed(1)} %`;
}

/** 1234567 -> "1,234,567". */
export const count = (value: number): string => Math.round(value).toLocaleString("en-US");

/** Bytes as KiB, MiB or GiB. */
export function size(bytes: number): string {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  if (bytes >= 2 ** 20) return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  if (bytes >= 1_024) return `${(bytes / 1_024).toFixed(1)} KiB`;
  return `${bytes} B`;
}

/** "1 sample", "2 samples". */
export const plural = (value: number, noun: string, many = `${noun}s`): string =>
  `${count(value)} ${Math.round(value) === 1 ? noun : many}`;

const significant = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
