#!/usr/bin/env node
// Reads a JSON report of vitest and prints "PASSED FAILED". What did not run counts as failed: a skipped test, a file
// that could not be loaded, a run that ended with an error although each of its tests passed.
// Names on standard error, with the reason, what passed only at a later try.
// Usage: node scripts/lib/count-tests.mjs REPORT.json EXIT-STATUS
import { readFileSync } from "node:fs";

const [path, status] = process.argv.slice(2);
let report = { testResults: [] };
try {
  report = JSON.parse(readFileSync(path, "utf8"));
} catch (error) {
  console.error(`      vitest left no result in ${path}: ${error.message}`);
}
let passed = 0;
let failed = 0;
for (const file of report.testResults) {
  const results = file.assertionResults;
  const good = results.filter((result) => result.status === "passed").length;
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
if (failed === 0 && (status !== "0" || passed === 0)) failed = 1;
console.log(`${passed} ${failed}`);
