#!/usr/bin/env node
// Reads a JSON report of vitest and prints "PASSED FAILED". What did not run counts as failed: a skipped test, a file
// that could not be loaded, a run that ended with an error although each of its tests passed.
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
  const blamed = good < results.length;
  if (file.status !== "passed" && !blamed) failed++;
}
if (failed === 0 && (status !== "0" || passed === 0)) failed = 1;
console.log(`${passed} ${failed}`);
