/** The part of cli-progress that `progress.ts` uses; the package has no types of its own. */
declare module 'cli-progress' {
  export interface Options {
    readonly format: string;
    readonly stream: NodeJS.WriteStream;
    readonly fps: number;
    readonly linewrap: boolean;
    readonly barsize: number;
    readonly clearOnComplete: boolean;
  }
  export class SingleBar {
    constructor(options: Options);
    start(total: number, startValue: number, payload: Record<string, string>): void;
    update(value: number, payload: Record<string, string>): void;
    stop(): void;
  }
  const cliProgress: { SingleBar: typeof SingleBar };
  export default cliProgress;
}
