/** Entry point of the `pyralog` command. The only place that exits. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { EXIT, reportError } from './error-report.ts';
import { Output } from './output.ts';
import { buildProgram } from './program.ts';

const packageSchema = z.object({ version: z.string() });

async function main(): Promise<number> {
  const output = new Output(process.stdout);
  const { version } = packageSchema.parse(
    JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')),
  );
  const program = buildProgram(output, version);
  const words = process.argv.slice(2);
  try {
    await program.parseAsync(process.argv);
    await output.flush();
    return EXIT.ok;
  } catch (reason) {
    await output.flush().catch(() => {});
    const report = reportError(reason, { json: words.includes('--json'), usage: usageOf(program, words) });
    if (report.line !== undefined) process.stderr.write(`${report.line}\n`);
    return report.exitCode;
  }
}

/** The name of the command that the words lead to, as far as they lead. */
function usageOf(program: Command, words: readonly string[]): string {
  let command = program;
  let name = program.name();
  for (const word of words) {
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next === undefined) break;
    command = next;
    name = `${name} ${word}`;
  }
  return name;
}

process.exit(await main());
