// What can be searched for in the page, and the link that brings it back.
import { describe, expect, test } from "vitest";
import { linkTo, placeIn } from "../../web/place.js";
import { matchAll, parseSearch } from "../../web/search.js";

const names = ["tcp_sendmsg", "operator|(Flags, Flags)", "Tcp::Send", "constructor", "__proto__", "a.c"];

function found(term: string): string[] {
  const search = parseSearch(term, names);
  if (search.kind !== "matcher") return [search.kind];
  const matches = matchAll(names, search.matches);
  return names.filter((_, index) => matches[index] === 1);
}

describe("search", () => {
  test("finds text in upper and lower case", () => {
    expect(found("TCP")).toEqual(["tcp_sendmsg", "Tcp::Send"]);
    expect(found("  proto ")).toEqual(["__proto__"]);
  });

  test("punctuation is text, not an expression", () => {
    expect(found("a.c")).toEqual(["a.c"]);
    expect(found("(Flags")).toEqual(["operator|(Flags, Flags)"]);
  });

  test("= finds the whole name only", () => {
    expect(found("=constructor")).toEqual(["constructor"]);
    expect(found("=tcp")).toEqual([]);
  });

  test("| is part of the text if something contains it, else it separates alternatives", () => {
    expect(found("operator|(")).toEqual(["operator|(Flags, Flags)"]);
    expect(found("sendmsg|proto")).toEqual(["tcp_sendmsg", "__proto__"]);
  });

  test("/…/ is a regular expression, and a wrong one is told", () => {
    expect(found("/^tcp_/")).toEqual(["tcp_sendmsg"]);
    expect(found("/(/")).toEqual(["error"]);
  });

  test("nothing is no search", () => {
    expect(found("   ")).toEqual(["none"]);
  });
});

test("a place survives the way through an address, whatever the search holds", () => {
  const place = { tab: "cpu", search: 'std::map<int, "a&b=c#d">|100 %' };
  expect(placeIn(linkTo(place))).toEqual(place);
  expect(placeIn("#somewhere")).toBeNull();
});
