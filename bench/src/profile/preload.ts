/**
 * Preloaded into the processes of a benchmark (`node --import`): SIGUSR2 starts the CPU profiler, the next SIGUSR2 stops
 * it and writes `<pid>.cpuprofile` into the directory that the environment names. A process that gets no signal is not
 * slowed down.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';

const directory = process.env.PYRALOG_BENCH_PROFILE_DIR;
const SAMPLING_INTERVAL_US = 500;

if (directory !== undefined) {
  let session: Session | undefined;
  process.on('SIGUSR2', () => {
    if (session === undefined) {
      session = new Session();
      session.connect();
      session.post('Profiler.enable');
      session.post('Profiler.setSamplingInterval', { interval: SAMPLING_INTERVAL_US });
      session.post('Profiler.start');
      return;
    }
    const running = session;
    session = undefined;
    running.post('Profiler.stop', (error, result) => {
      running.disconnect();
      if (error !== null) throw error;
      const file = join(directory, `${process.pid}.cpuprofile`);
      writeFileSync(`${file}.part`, JSON.stringify(result.profile));
      renameSync(`${file}.part`, file);
    });
  });
}
