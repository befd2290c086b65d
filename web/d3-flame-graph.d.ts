// The part of d3-flame-graph 5.0.0 that the page uses; the package ships no types.
declare module "d3-flame-graph" {
  import type { Selection } from "d3-selection";

  export interface FlameNode<Data> {
    readonly data: Data;
    readonly depth: number;
    readonly parent: FlameNode<Data> | null;
    readonly children?: FlameNode<Data>[];
    readonly value: number;
    readonly x0: number;
    readonly x1: number;
    highlight?: boolean;
  }

  export interface Tooltip<Data> {
    (svg: unknown): void;
    show(event: MouseEvent, node: FlameNode<Data>): void;
    hide(): void;
    destroy(): void;
  }

  export interface FlameGraph<Data> {
    (selection: Selection<HTMLDivElement, Data, null, undefined>): void;
    width(px: number): this;
    cellHeight(px: number): this;
    minFrameSize(px: number): this;
    transitionDuration(ms: number): this;
    inverted(on: boolean): this;
    resetHeightOnZoom(on: boolean): this;
    tooltip(tooltip: Tooltip<Data>): this;
    getName(name: (node: FlameNode<Data>) => string): this;
    setColorMapper(mapper: (node: FlameNode<Data>, original: string) => string): this;
    setLabelHandler(handler: (node: FlameNode<Data>) => string): this;
    setDetailsHandler(handler: (text: string | null) => void): this;
    setSearchMatch(matches: (node: FlameNode<Data>, term: string) => boolean): this;
    setSearchHandler(handler: (results: FlameNode<Data>[], sum: number, total: number) => void): this;
    search(term: string): void;
    clear(): void;
    update(data?: Data): this;
    destroy(): this;
  }

  export default function flamegraph<Data>(): FlameGraph<Data>;
}
