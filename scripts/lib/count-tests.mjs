#!/usr/bin/env node
// Reads a JSON report of vitest and prints "PASSED FAILED". What did not run counts as failed: a skipped test, a file
// that could not be loaded, a run that ended with an error although each of its tests passed.
// Names on standard error, with the reason, what passed only at a later try.
// With --again FILE, tests that failed beside others are judged alone: file and name (as a regular expression) of each
// are written there, line by line, with a tab between, and are not counted here; without a name it is the whole file. The
// caller runs them again, and counts that with --of NUMBER: so many were asked for, all others have been left out.
// Usage: node scripts/lib/count-tests.mjs REPORT.json EXIT-STATUS [--again FILE | --of NUMBER]
import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";

const [path, status, option, value] = process.argv.slice(2);
const again = option === "--again" ? value : undefined;
const of = option === "--of" ? Number(value) : undefined;
let report = { testResults: [] };
try {
  report = JSON.parse(readFileSync(path, "utf8"));
} catch (error) {
  console.error(`      vitest left no result in ${path}: ${error.message}`);
}
let passed = 0;
let failed = 0;
const alone = [];
const judgedAlone = (file, name, why) => {
  console.error(`      again, alone: ${file}: "${name ?? "the whole file"}": ${why?.split("\n")[0]}`);
  alone.push(`${relative(".", file)}\t${name?.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") ?? ""}`);
};
for (const file of report.testResults) {
  const results = file.assertionResults.filter((result) => of === undefined || result.status !== "skipped");
  const good = results.filter((result) => result.status === "passed").length;
  if (again && (good < results.length || file.status !== "passed")) {
    const bad = results.filter((result) => result.status !== "passed");
    for (const { fullName, failureMessages } of bad) judgedAlone(file.name, fullName, failureMessages?.[0]);
    if (bad.length === 0) judgedAlone(file.name, undefined, file.message);
    else passed += good;
    continue;
  }
  passed += good;
  failed += results.length - good;
  for (const { status: end, fullName, failureMessages = [] } of results)
    if (end === "passed" && failureMessages.length > 0)
      console.error(
        `      again: "${fullName}" passed at try ${failureMessages.length + 1}; before: ${failureMessages[0].split("\n")[0]}`,
      );
  const blamed = good < results.length;
  if (file.status !== "passed" && !blamed) failed++;
}
if (again) writeFileSync(again, alone.map((name) => `${name}\n`).join(""));
if (of !== undefined) failed = Math.max(failed, of - passed);
if (failed === 0 && alone.length === 0 && (status !== "0" || passed === 0)) failed = 1;
console.log(`${passed} ${failed}`);
