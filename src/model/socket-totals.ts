// Totals of TCP connections on their way into the profile: what a damaged capture refers to but does not hold is counted and
// belongs to nobody; figures that cannot be are left out.
import type {
  CloseWaitRow,
  ConnectingRow,
  EndpointRow,
  FinalFacts,
  ListenQueueRow,
  ProcessRow,
  TcpTotal,
} from "../capture/binding.js";
import type { InvalidCounts } from "./invalid.js";

/** Rows of the capture by id, to look ids up in. */
export interface KnownRows {
  readonly processes: readonly (ProcessRow | undefined)[];
  readonly endpoints: readonly (EndpointRow | undefined)[];
}

/** The same facts with TCP totals that refer only to what there is; -1 for the rest. */
export function checkedTotals(final: FinalFacts, known: KnownRows, invalid: InvalidCounts): FinalFacts {
  const endpointOf = (id: number): number => {
    if (id === -1 || known.endpoints[id] !== undefined) return id;
    invalid.add("endpoints");
    return -1;
  };
  const processOf = (id: number): number => {
    if (id === -1 || known.processes[id] !== undefined) return id;
    invalid.add("processes");
    return -1;
  };
  const tcpTotals = final.tcpTotals.filter(isPossibleTotal);
  const connecting = final.connecting.filter(isPossibleConnecting);
  const closeWaits = final.closeWaits.filter(isPossibleCloseWait);
  const listenQueues = final.listenQueues.filter(isPossibleQueue);
  const rows = (lists: readonly (readonly unknown[])[]): number =>
    lists.reduce((sum, { length }) => sum + length, 0);
  const all = rows([final.tcpTotals, final.connecting, final.closeWaits, final.listenQueues]);
  invalid.add("connections", all - rows([tcpTotals, connecting, closeWaits, listenQueues]));
  const placed = <Row extends ConnectingRow | CloseWaitRow | ListenQueueRow>(row: Row): Row => ({
    ...row,
    process: processOf(row.process),
    endpoint: endpointOf(row.endpoint),
  });
  return {
    ...final,
    tcpTotals: tcpTotals.map((row) => ({ ...row, endpoint: endpointOf(row.endpoint) })),
    connecting: connecting.map(placed),
    closeWaits: closeWaits.map(placed),
    listenQueues: listenQueues.map(placed),
  };
}

const isCount = (value: number): boolean => value >= 0 && Number.isFinite(value);

const isPossibleTotal = ({ endpoint: _, connectBuckets, ...figures }: TcpTotal): boolean =>
  connectBuckets.every(isCount) && Object.values(figures).every(isCount);

const isPossibleConnecting = ({ count, unanswered, sentAgain, maxNs }: ConnectingRow): boolean =>
  [count, unanswered, sentAgain, maxNs].every(isCount) && unanswered <= count;

const isPossibleCloseWait = ({ count, fd }: CloseWaitRow): boolean => isCount(count) && fd >= -1;

const isPossibleQueue = ({ length }: ListenQueueRow): boolean => isCount(length);
