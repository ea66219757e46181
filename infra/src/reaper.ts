/**
 * Ends a nats-server whose starter is gone, however that ended: a shell that waits for the end of its stdin, lets the
 * services (whose pids it was told) finish first, since they need NATS for that, and then stops the server.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const SCRIPT = `
pids=
while read -r pid; do pids="$pids $pid"; done
left=100
while [ "$left" -gt 0 ]; do
  alive=
  for pid in $pids; do
    if kill -0 "$pid" 2>/dev/null; then alive=1; fi
  done
  if [ -z "$alive" ]; then break; fi
  sleep 0.1
  left=$((left - 1))
done
kill -CONT "$1" 2>/dev/null
kill -TERM "$1" 2>/dev/null
`;

export class Reaper {
  readonly #shell: ChildProcess;

  constructor(natsPid: number) {
    this.#shell = spawn('/bin/sh', ['-c', SCRIPT, 'reaper', String(natsPid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    });
    // Without a shell the server outlives a starter that is killed; nothing else depends on it.
    this.#shell.on('error', () => undefined);
    this.#shell.stdin?.on('error', () => undefined);
    this.#shell.unref();
  }

  /** A service whose end is waited for. */
  letFinish(pid: number): void {
    this.#shell.stdin?.write(`${pid}\n`);
  }

  /** The server has ended. */
  dismiss(): void {
    this.#shell.kill('SIGKILL');
  }
}
