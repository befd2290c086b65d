// What a search term means, decided once a function and not once a frame.

export type Matcher = (text: string) => boolean;

export type ParsedSearch =
  | { readonly kind: "none" }
  | { readonly kind: "error"; readonly message: string }
  | { readonly kind: "matcher"; readonly matches: Matcher };

/**
 * Reads a search term:
 * `text` = contains, upper and lower case alike; `=text` = is exactly; `/expression/` = regular expression.
 * A term with `|` is first taken as it stands (C++ has `operator|`), and if nothing contains it, as alternatives.
 * @param texts all texts that will be searched
 */
export function parseSearch(term: string, texts: readonly string[]): ParsedSearch {
  const trimmed = term.trim();
  if (trimmed === "") return { kind: "none" };
  if (trimmed.length > 1 && trimmed.startsWith("=")) {
    const exact = trimmed.slice(1);
    return { kind: "matcher", matches: (text) => text === exact };
  }
  if (trimmed.length > 2 && trimmed.startsWith("/") && trimmed.endsWith("/")) {
    try {
      const expression = new RegExp(trimmed.slice(1, -1), "i");
      return { kind: "matcher", matches: (text) => expression.test(text) };
    } catch (error) {
      return { kind: "error", message: `Not a regular expression: ${(error as Error).message}` };
    }
  }
  const lower = trimmed.toLowerCase();
  const contains: Matcher = (text) => text.toLowerCase().includes(lower);
  const parts = lower
    .split("|")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  if (parts.length < 2 || texts.some(contains)) return { kind: "matcher", matches: contains };
  return {
    kind: "matcher",
    matches: (text) => {
      const lowered = text.toLowerCase();
      return parts.some((part) => lowered.includes(part));
    },
  };
}

/** One byte an entry of `texts`: 1 = matches. */
export function matchAll(texts: readonly string[], matches: Matcher): Uint8Array {
  return Uint8Array.from(texts, (text) => (matches(text) ? 1 : 0));
}
