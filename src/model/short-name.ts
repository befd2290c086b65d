// Names of C++ and Rust that fit into a frame or a line: what stands between template and parameter brackets is left out.
// Search, tooltip, table, the copied stack and the files have the whole name.

/** Shorter names stay whole. */
const LONG = 48;
const CLOSING: Readonly<Record<string, string>> = { "<": ">", "(": ")", "[": "]", "{": "}" };
const OPERATOR = /operator(?:\(\)|\[\]|<=>|<<=?|>>=?|->\*?|[<>]=?)/y;
/** Before a bracket that encloses arguments; others are parts of the name, as "(anonymous namespace)", "<T as Trait>". */
const CALLED = /[\w>'})\]$]/;

/**
 * `std::vector<int, std::allocator<int>>::push_back(int const&)` -> `std::vector<…>::push_back(…)`.
 * A name whose brackets do not match comes back as it is.
 */
export function shortName(name: string): string {
  if (name.length <= LONG || !/[<(]/.test(name)) return name;
  let out = "";
  for (let at = 0; at < name.length; ) {
    const operator = operatorAt(name, at);
    if (operator > 0) {
      out += name.slice(at, at + operator);
      at += operator;
      continue;
    }
    const open = name[at]!;
    if ((open !== "<" && open !== "(") || !encloses(name, at)) {
      out += open;
      at++;
      continue;
    }
    const end = closing(name, at);
    if (end < 0) return name;
    out += end === at + 1 ? open : `${open}…`;
    out += CLOSING[open];
    at = end + 1;
  }
  return out;
}

/** Whether the bracket at `at` holds arguments, not a part of the name. */
function encloses(name: string, at: number): boolean {
  const before = name[at - 1] ?? "";
  if (name[at] === "<" && before === ":") return !name.startsWith("<impl ", at); // Rust: Vec::<T>::push
  return CALLED.test(before);
}

/** Length of "operator<" and its like at `at`, 0 if there is none: their brackets open nothing. */
function operatorAt(name: string, at: number): number {
  if (name[at] !== "o" || /\w/.test(name[at - 1] ?? "")) return 0;
  OPERATOR.lastIndex = at;
  return OPERATOR.exec(name)?.[0].length ?? 0;
}

/** Position of the bracket that closes the one at `at`, -1 if none does. */
function closing(name: string, at: number): number {
  const expected: string[] = [];
  for (let i = at; i < name.length; i++) {
    i += operatorAt(name, i);
    const char = name[i] ?? "";
    if (char === "-" && name[i + 1] === ">") i++;
    else if (char in CLOSING) expected.push(CLOSING[char]!);
    else if (">)]}".includes(char) && char !== "") {
      if (expected.pop() !== char) return -1;
      if (expected.length === 0) return i;
    }
  }
  return -1;
}
