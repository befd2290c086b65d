// What a part of the bench is: it measures, gives plain data (kept as JSON), and draws that data as Markdown.

export interface BenchOptions {
  /** Seconds instead of minutes; too noisy to publish. */
  readonly quick: boolean;
  readonly rounds: number | undefined;
  /** True after Ctrl-C: end after the measurement under way and keep what there is. */
  stopping(): boolean;
  /** Progress, one line each. */
  say(line: string): void;
}

export interface Part<Data> {
  readonly name: string;
  run(options: BenchOptions): Promise<Data>;
  /** Markdown without a heading. */
  render(data: Data): string;
}
