/** Runs a command to its end: bounded in time and in what is kept of its output. */
import { spawn } from 'node:child_process';
import type { Environment } from '@pyralog/shared/node';

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly environment: Environment;
  readonly cwd?: string;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

const OUTPUT_CHARACTERS_MAX = 64 * 1024;
const TAIL_CHARACTERS = 300;
/** A file that was written a moment ago may still be open in a process that is being forked. */
const BUSY_ATTEMPTS = 10;
const BUSY_DELAY_MS = 50;

/** @throws Error naming the command and why it failed: not found, exit code with the end of its output, or timeout. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await runOnce(command, args, options);
    } catch (error) {
      if (!isBusy(error) || attempt === BUSY_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, BUSY_DELAY_MS));
    }
  }
}

function isBusy(error: unknown): boolean {
  return (
    error instanceof Error && error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'ETXTBSY'
  );
}

function runOnce(command: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout = (stdout + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    });
    child.on('error', (cause) => reject(new Error(`${command} cannot be run: ${cause.message}`, { cause })));
    child.on('close', (code, signal) => {
      if (code === 0) resolve({ stdout, stderr });
      else if (signal === 'SIGKILL' && child.killed)
        reject(new Error(`${command} took longer than ${options.timeoutMs} ms`));
      else
        reject(
          new Error(`${command} failed (${code ?? signal}): ${lastWords(stderr) || lastWords(stdout) || 'no output'}`),
        );
    });
  });
}

function lastWords(output: string): string {
  return output.trim().slice(-TAIL_CHARACTERS).replace(/\s+/g, ' ');
}
