// Text that came from a traced machine, made fit to be read: what cannot be seen is spelled out.

// Control characters, direction marks and overrides, zero-width characters, line separators, byte order marks.
// A name that holds them could reorder or hide what stands next to it, or act on a terminal that it is pasted into.
const INVISIBLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to be replaced
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** The same text with each invisible or direction-changing character as ⟨U+202E⟩. */
export function visible(text: string): string {
  return text.replace(
    INVISIBLE,
    (character) => `⟨U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

/** At most `length` characters, the cut marked. */
export function clip(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** Nanoseconds for people: three digits that count, and a unit. */
export function duration(value: number): string {
  const absolute = Math.abs(value);
  if (absolute >= 1e9) return `${digits(value / 1e9)} s`;
  if (absolute >= 1e6) return `${digits(value / 1e6)} ms`;
  if (absolute >= 1e3) return `${digits(value / 1e3)} µs`;
  return `${Math.round(value)} ns`;
}

function digits(value: number): string {
  const absolute = Math.abs(value);
  if (absolute >= 1000) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(absolute >= 100 ? 0 : absolute >= 10 ? 1 : 2);
}

/** A share, 0 to 1, as percent; what is there but tiny is not shown as zero. */
export function percent(share: number): string {
  if (!Number.isFinite(share) || share <= 0) return "0 %";
  if (share < 0.0001) return "< 0.01 %";
  const value = share * 100;
  return `${value.toFixed(value >= 10 ? 1 : 2)} %`;
}

/** A number of a table cell: grouped, at most three decimals. */
export function plainNumber(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 3 });
}
