/** Entry point of the benchmarks. The only place that exits. */
import { describeError, PyralogError } from '@pyralog/shared/core';
import { formatAppendReport } from './append/format-report.ts';
import { runAppend } from './append/run-append.ts';
import { parseCommandLine, USAGE } from './command-line.ts';
import { formatFailoverReport } from './failover/format-report.ts';
import { FAILOVER_USAGE, parseFailoverOptions } from './failover/options.ts';
import { runFailover } from './failover/run-failover.ts';
import { Interrupt } from './interrupt.ts';
import { formatReadReport } from './read/format-report.ts';
import { runRead } from './read/run-read.ts';
import type { SurroundingsOptions } from './surroundings.ts';

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

async function main(words: readonly string[]): Promise<number> {
  if (words[0] === 'failover') return failover(words.slice(1));
  const command = parseCommandLine(words);
  if (command.kind === 'help') {
    process.stdout.write(`${USAGE}${FAILOVER_USAGE}`);
    return EXIT.ok;
  }
  const surroundings = surroundingsOptions();
  if (command.kind === 'append') {
    const report = await runAppend(command.options, surroundings);
    await print(command.options.json ? `${JSON.stringify(report, undefined, 2)}\n` : formatAppendReport(report));
  } else {
    const report = await runRead(command.options, surroundings);
    await print(command.options.json ? `${JSON.stringify(report, undefined, 2)}\n` : formatReadReport(report));
  }
  return EXIT.ok;
}

async function failover(words: readonly string[]): Promise<number> {
  const options = parseFailoverOptions(words);
  const report = await runFailover(options, surroundingsOptions());
  await print(options.json ? `${JSON.stringify(report, undefined, 2)}\n` : formatFailoverReport(report));
  return EXIT.ok;
}

function surroundingsOptions(): SurroundingsOptions {
  return { interrupt: new Interrupt(), progress: (text) => process.stderr.write(`${text}\n`) };
}

function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error === null || error === undefined ? resolve() : reject(error)));
  });
}

main(process.argv.slice(2)).then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    const isUsage = error instanceof PyralogError && error.code === 'invalid';
    process.stderr.write(`error: ${describeError(error)}\n${isUsage ? `\n${USAGE}${FAILOVER_USAGE}` : ''}`);
    process.exit(isUsage ? EXIT.usage : EXIT.failed);
  },
);
