// How the page writes names, times and shares.
import { describe, expect, test } from "vitest";
import { clip, duration, percent, visible } from "../../web/text.js";

describe("text from a traced machine", () => {
  test("what cannot be seen is spelled out", () => {
    expect(visible("safe\u202egnp.exe")).toBe("safe⟨U+202E⟩gnp.exe");
    expect(visible("a\u0000b\u001b[31m\n")).toBe("a⟨U+0000⟩b⟨U+001B⟩[31m⟨U+000A⟩");
    expect(visible("zero\u200bwidth")).toBe("zero⟨U+200B⟩width");
    expect(visible("half \ud83d pair")).toBe("half ⟨U+D83D⟩ pair");
  });

  test("what can be seen stays, in any script", () => {
    for (const text of ["<script>", "größe", "日本語", "🔥 frame", "a`b'c\"d", "\ufffd", ""]) {
      expect(visible(text)).toBe(text);
    }
  });

  test("a cut is marked", () => {
    expect(clip("abcdef", 6)).toBe("abcdef");
    expect(clip("abcdefg", 6)).toBe("abcde…");
  });
});

describe("numbers for people", () => {
  test("durations have three digits and a unit", () => {
    expect([0, 999, 1500, 12_340_000, 123_400_000, 1.5e9, 3.2e13].map(duration)).toEqual([
      "0 ns",
      "999 ns",
      "1.50 µs",
      "12.3 ms",
      "123 ms",
      "1.50 s",
      "32,000 s",
    ]);
  });

  test("a small share is not zero, and none is not a number", () => {
    expect([0, 0.00001, 0.0123, 0.5, 1, Number.NaN].map(percent)).toEqual([
      "0 %",
      "< 0.01 %",
      "1.23 %",
      "50.0 %",
      "100.0 %",
      "0 %",
    ]);
  });
});
