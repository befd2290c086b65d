#!/usr/bin/env node
// Reads a JSON report of vitest and prints "PASSED FAILED". What did not run counts as failed: a skipped test, a file
// that could not be loaded, a run that ended with an error although each of its tests passed.
// Names on standard error, with the reason, what passed only at a later try.
// With AGAIN, a file of its own, tests that failed beside others are judged alone: the names of their files are written
// there, line by line, and these files are not counted here. The caller runs them again, and counts that.
// Usage: node scripts/lib/count-tests.mjs REPORT.json EXIT-STATUS [AGAIN]
import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";

const [path, status, again] = process.argv.slice(2);
let report = { testResults: [] };
try {
  report = JSON.parse(readFileSync(path, "utf8"));
} catch (error) {
  console.error(`      vitest left no result in ${path}: ${error.message}`);
}
let passed = 0;
let failed = 0;
const alone = [];
for (const file of report.testResults) {
  const results = file.assertionResults;
  const good = results.filter((result) => result.status === "passed").length;
  if (again && (good < results.length || file.status !== "passed")) {
    const bad = results.find((result) => result.status !== "passed");
    const why = bad?.failureMessages?.[0]?.split("\n")[0] ?? file.message;
    console.error(`      again, alone: ${file.name}: "${bad?.fullName ?? "the whole file"}": ${why}`);
    alone.push(relative(".", file.name));
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
if (failed === 0 && alone.length === 0 && (status !== "0" || passed === 0)) failed = 1;
console.log(`${passed} ${failed}`);
