// Tables of a recording of sockets: a CSV file holds one of them.
export const CSV_TABLES = ["calls", "endpoints", "tcp", "slow"] as const;
export type CsvTable = (typeof CSV_TABLES)[number];
