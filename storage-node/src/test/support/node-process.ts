/** A real storage node in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { eventually } from './nats-server.ts';

const MAIN = fileURLToPath(new URL('../../main.js', import.meta.url));
const lineSchema = z.looseObject({ level: z.string(), msg: z.string() });
export type LogLine = z.infer<typeof lineSchema>;

export class NodeProcess {
  readonly lines: LogLine[] = [];
  readonly #child: ChildProcess;
  #rest = '';

  constructor(environment: Record<string, string>) {
    const { PATH = '' } = process.env;
    this.#child = spawn(process.execPath, [MAIN], {
      env: { PATH, ...environment },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text));
  }

  static async ready(environment: Record<string, string>): Promise<NodeProcess> {
    const node = new NodeProcess(environment);
    await node.logged('ready');
    return node;
  }

  get exited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Waits for a line with this message, or fails when the process ends without it. */
  async logged(message: string): Promise<LogLine> {
    const find = (): LogLine | undefined => this.lines.find(({ msg }) => msg === message);
    await eventually(`storage node logs "${message}"`, () => find() !== undefined || this.exited);
    const line = find();
    if (line === undefined) throw new Error(`storage node ended: ${JSON.stringify(this.lines.at(-1))}`);
    return line;
  }

  /** Sends a signal and waits for the end; the exit status, or the signal that ended it. */
  async end(signal?: NodeJS.Signals): Promise<number | string> {
    if (!this.exited) {
      const exited = once(this.#child, 'exit');
      if (signal !== undefined) this.#child.kill(signal);
      await exited;
    }
    return this.#child.exitCode ?? this.#child.signalCode ?? '';
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') this.lines.push(lineSchema.parse(JSON.parse(line)));
  }
}
