// Looking up names with glibc's own resolver, of a name server of known behaviour: that it is slow, or loses questions, is found.
import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import { Child } from "../support/children.js";
import { recordWhile } from "../support/record.js";

/** Of its own, so that it is beside the machine's resolver where there is one. */
const SERVER = "127.0.0.77";

const IPV4 = 1;
const IPV6 = 28;

/** What is asked for: the type of a question (RFC 1035, 3.2.2). */
const typeOf = (question: Buffer): number => question.readUInt16BE(endOf(question) - 4);

function endOf(question: Buffer): number {
  let end = 12;
  while (question[end] !== 0) end += question[end]! + 1;
  return end + 5;
}

/** The answer to a question for an IPv4 address, "127.0.0.1", or none for any other (RFC 1035, 4.1). */
function answerTo(question: Buffer): Buffer {
  const answer = Buffer.from(question.subarray(0, endOf(question)));
  answer.writeUInt16BE(0x8480, 2);
  answer.set([0, 1, 0, 0, 0, 0, 0, 0], 4);
  if (typeOf(question) !== IPV4) return answer;
  answer[7] = 1;
  return Buffer.concat([answer, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1])]);
}

/**
 * What is found while a program looks up names, one after the other.
 * @param delayMs after which the server answers
 * @param loses whether it loses the question that it gets as the n-th of its type
 * @param family of the addresses that are wanted: 4, or 0 for all, which glibc asks for at once, with two questions
 */
async function lookingUp(
  names: number,
  { delayMs = 0, family = 4, loses = (_n: number, _type: number): boolean => false },
) {
  const directory = await mkdtemp(join(tmpdir(), "lowflame-names-"));
  const server = createSocket("udp4");
  const asked = new Map<number, number>();
  server.on("message", (question, { address, port }) => {
    const type = typeOf(question);
    const n = (asked.get(type) ?? 0) + 1;
    asked.set(type, n);
    if (loses(n, type)) return;
    setTimeout(() => server.send(answerTo(question), port, address), delayMs);
  });
  try {
    await new Promise<void>((bound) => server.bind(53, SERVER, bound));
    const config = join(directory, "resolv.conf");
    await writeFile(config, `nameserver ${SERVER}\noptions timeout:1 attempts:3\n`);
    const program = `const { lookup } = require("node:dns").promises;
      (async () => { for (let n = 0; n < ${names}; n++) await lookup("n" + n + ".example.", { family: ${family} }); })();`;
    const recorded = await recordWhile({ sources: ["sockets"] }, async () => {
      const command = 'mount --bind "$1" /etc/resolv.conf && exec "$2" -e "$3"';
      const child = Child.start([
        "unshare",
        "-m",
        "sh",
        "-c",
        command,
        "sh",
        config,
        process.execPath,
        program,
      ]);
      expect((await child.exited).code).toBe(0);
    });
    const found = analyze(recorded.profile).filter(({ culprit }) => culprit === `${SERVER}:53`);
    return { found, asked };
  } finally {
    server.close();
    await rm(directory, { recursive: true });
  }
}

test("a name server that takes its time is found, though there is none to compare it with", async () => {
  const { found, asked } = await lookingUp(25, { delayMs: 150 });
  expect(asked).toEqual(new Map([[IPV4, 25]]));
  expect(found).toMatchObject([{ rule: "slow-end", severity: "warning" }]);
  expect(found[0]!.title).toMatch(/^The name server 127\.0\.0\.77:53 answers node after 1[5-9]\d(\.\d)? ms/);
});

test.each([
  ["questions", 4, IPV4, "150"],
  ["the second of two questions that were sent together", 0, IPV6, "30\\d"],
])(
  "one that loses %s now and then is found, though it answers all others at once",
  async (_, family, lost, all) => {
    const { found, asked } = await lookingUp(150, {
      family,
      loses: (n, type) => type === lost && n % 40 === 0,
    });
    // each is asked again
    expect(asked.get(lost)).toBe(153);
    expect(found).toMatchObject([{ rule: "slow-end", severity: "warning" }]);
    expect(found[0]!.title).toMatch(
      new RegExp(`^3 of node's ${all} questions for names to 127\\.0\\.0\\.77:53 were left`),
    );
  },
);

test("one that answers all at once is none", async () => {
  const { found, asked } = await lookingUp(150, { family: 0 });
  expect(found).toEqual([]);
  expect([...asked]).toEqual([
    [IPV4, 150],
    [IPV6, 150],
  ]);
});
