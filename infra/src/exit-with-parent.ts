/**
 * Loaded into a service before its own program (`node --import`): when the process that started it is gone, however it
 * ended, the pipe on stdin ends, and the service is stopped as by SIGTERM. The service itself need not know.
 */
const STOP_WITHIN_MS = 10_000;

let ended = false;

function parentIsGone(): void {
  if (ended) return;
  ended = true;
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_WITHIN_MS).unref();
}

process.stdin.on('end', parentIsGone);
process.stdin.on('close', parentIsGone);
process.stdin.on('error', parentIsGone);
process.stdin.resume();
process.stdin.unref();
