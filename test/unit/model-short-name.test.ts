// What stands in a frame of the flame graph: names of C++ and Rust without their arguments.
import { expect, test } from "vitest";
import { shortName } from "../../src/model/short-name.js";

test.each([
  ["std::vector<int, std::allocator<int> >::push_back(int const&)", "std::vector<…>::push_back(…)"],
  [
    "void proxy::(anonymous namespace)::forward<proxy::Upstream<int>>(proxy::Request const&) const",
    "void proxy::(anonymous namespace)::forward<…>(…) const",
  ],
  [
    "node::inspector::Agent::Agent()::'lambda'(node::Environment*)::operator()(node::Environment*) const",
    "node::inspector::Agent::Agent()::'lambda'(…)::operator()(…) const",
  ],
  [
    "bool std::operator< <char, std::char_traits<char>>(std::string const&, std::string const&)",
    "bool std::operator< <char, std::char_traits<…>>(…)",
  ],
  [
    "std::function<int (int, char)>::operator->(std::pair<int, int>, long long, long long)",
    "std::function<…>::operator->(…)",
  ],
  // Rust: what a trait is implemented for is the name
  [
    "<alloc::vec::Vec<alloc::string::String> as core::fmt::Debug>::fmt",
    "<alloc::vec::Vec<…> as core::fmt::Debug>::fmt",
  ],
  [
    "core::slice::<impl [T]>::sort_unstable_by_key::{{closure}}::h",
    "core::slice::<impl [T]>::sort_unstable_by_key::{{closure}}::h",
  ],
  [
    "hashbrown::raw::RawTable::<(alloc::string::String, u64)>::reserve_rehash::<fn(u64) -> u64>",
    "hashbrown::raw::RawTable::<…>::reserve_rehash::<…>",
  ],
  // Go: receivers are parts of the name
  [
    "github.com/example/service/internal/server.(*Server).Serve.func1",
    "github.com/example/service/internal/server.(*Server).Serve.func1",
  ],
])("%s", (name, short) => {
  expect(shortName(name)).toBe(short);
});

test("what is short enough stays whole", () => {
  for (const name of ["f(int)", "std::vector<int>::size() const", "main", "", "(", "memcpy@plt"])
    expect(shortName(name)).toBe(name);
});

test("brackets that do not match: the name as it is", () => {
  for (const odd of ["a<b(c>d)", "f(", "f<<<<", "operator<", "f(]", "x->"]) {
    const name = `a_function_of_a_namespace_with_a_long_name::${odd}${"y".repeat(20)}`;
    expect(shortName(name)).toBe(name);
  }
});

test("a name of 64 KiB made of brackets takes no time that anybody would notice", () => {
  const before = performance.now();
  for (const unit of ["<", "f<", "f(", "operator<", "f<>", "<a("])
    shortName(unit.repeat(65536 / unit.length));
  expect(performance.now() - before).toBeLessThan(1000);
});
