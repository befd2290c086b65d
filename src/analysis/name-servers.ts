// Ends that are asked for names: nobody asks them without waiting for the answer, and a healthy one near by takes a millisecond.
import type { EndpointRow } from "../capture/binding.js";
import { NAMES } from "./thresholds.js";

/** Whether an end is a name server, by its port: "domain", 53 (RFC 1035, 4.2). */
export const isNameServer = (row: EndpointRow | undefined): boolean => row?.port === NAMES.port;
