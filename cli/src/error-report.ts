/**
 * An error as one line on standard error, `error: <message> (fields) [code] — <remedy>`, or as one JSON object, and the
 * exit code that goes with it: 1 when the operation failed, 2 when the command was not used as it can be.
 */
import { describeError, type ErrorFields, PyralogError } from '@pyralog/shared/core';
import { CommanderError } from 'commander';
import { remedyOf } from './remedies.ts';

export interface ErrorReport {
  readonly exitCode: 0 | 1 | 2;
  /** What to print, without a line feed; `undefined` when everything has been said (help, version). */
  readonly line: string | undefined;
}

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

interface ErrorJson {
  readonly code: string;
  readonly message: string;
  readonly retry: string;
  readonly outcome: string;
  readonly fields: ErrorFields;
  readonly remedy: string;
}

/** @param usage the command whose `--help` tells how it is used, e.g. `pyralog log create`. */
export function reportError(reason: unknown, options: { readonly json: boolean; readonly usage: string }): ErrorReport {
  if (reason instanceof CommanderError) return reportUsage(reason, options);
  if (reason instanceof PyralogError) {
    const { code, message, retry, outcome, fields } = reason;
    const remedy = remedyOf(reason);
    return {
      exitCode: EXIT.failed,
      line: options.json
        ? errorJson({ code, message, retry, outcome, fields, remedy })
        : `error: ${oneLine(describeError(reason))} [${code}] — ${remedy}`,
    };
  }
  const code = systemCodeOf(reason);
  const message = oneLine(describeError(reason));
  const remedy =
    code === undefined
      ? 'this is a defect of pyralog: please report it with the stack'
      : 'the operating system refused this';
  const shown = code ?? 'internal';
  const line = options.json
    ? errorJson({ code: shown, message, retry: 'never', outcome: 'unknown', fields: {}, remedy })
    : `error: ${message} [${shown}] — ${remedy}`;
  const stack = code === undefined && reason instanceof Error && !options.json ? `\n${reason.stack ?? ''}` : '';
  return { exitCode: EXIT.failed, line: `${line}${stack}` };
}

function reportUsage(reason: CommanderError, options: { readonly json: boolean; readonly usage: string }): ErrorReport {
  if (reason.exitCode === 0) return { exitCode: EXIT.ok, line: undefined };
  // Help was printed instead of a message: a command group without its command.
  if (reason.code === 'commander.help') return { exitCode: EXIT.usage, line: undefined };
  const message = oneLine(reason.message.replace(/^error: /, ''));
  const remedy = `see: ${options.usage} --help`;
  const line = options.json
    ? errorJson({ code: 'invalid', message, retry: 'never', outcome: 'not-applied', fields: {}, remedy })
    : `error: ${message} [invalid] — ${remedy}`;
  return { exitCode: EXIT.usage, line };
}

function errorJson(error: ErrorJson): string {
  return JSON.stringify({ error });
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

/** The code of an error of the operating system (`EACCES`), which is no defect. */
function systemCodeOf(reason: unknown): string | undefined {
  if (!(reason instanceof Error) || !('syscall' in reason) || !('code' in reason)) return undefined;
  return typeof reason.code === 'string' ? reason.code : undefined;
}
