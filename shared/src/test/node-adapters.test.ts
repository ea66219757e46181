/** The small adapters: checksum, clock, randomness, configuration, logs. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { crc32, delay, PyralogError, utf8 } from '../core/index.ts';
import {
  nativeCrc32,
  readConfig,
  redactUserinfo,
  serviceVariables,
  systemClock,
  systemRandom,
  wholeNumber,
} from '../node/index.ts';

test('the native checksum is the reference one', () => {
  assert.equal(nativeCrc32(utf8('123456789')), 0xcbf43926);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5_000 }), fc.nat(16), (bytes, from) => {
      const view = bytes.subarray(Math.min(from, bytes.byteLength));
      assert.equal(nativeCrc32(view), crc32(view));
    }),
  );
});

test('the clock runs callbacks not before their time, cancels them, and defers', async () => {
  const started = systemClock.monotonicMs();
  const order: string[] = [];
  const cancelled = systemClock.schedule(1, () => order.push('cancelled'));
  cancelled.cancel();
  cancelled.cancel();
  systemClock.defer(() => order.push('deferred'));
  order.push('now');
  await delay(systemClock, 20);
  assert.ok(systemClock.monotonicMs() - started >= 19);
  assert.deepEqual(order, ['now', 'deferred']);
  assert.ok(Number.isInteger(systemClock.wallMs()));
});

test('randomness covers its range', () => {
  const fractions = Array.from({ length: 1_000 }, () => systemRandom.fraction());
  assert.ok(fractions.every((value) => value >= 0 && value < 1));
  assert.ok(Math.max(...fractions) > 0.9 && Math.min(...fractions) < 0.1);
  assert.equal(new Set(Array.from({ length: 1_000 }, () => systemRandom.u64())).size, 1_000);
});

const schema = z.object({ ...serviceVariables, PYRALOG_SIZE: wholeNumber(1, 100).default(7) });

test('configuration has defaults, and an empty variable counts as absent', () => {
  const config = readConfig(schema, {
    PYRALOG_NATS_URL: 'nats://127.0.0.1:4222',
    PYRALOG_ID: 'node-1',
    PYRALOG_SIZE: '',
    HOME: '/',
  });
  assert.deepEqual(config, {
    PYRALOG_NATS_URL: 'nats://127.0.0.1:4222',
    PYRALOG_ID: 'node-1',
    PYRALOG_CLUSTER: 'pyralog',
    PYRALOG_LOG_LEVEL: 'info',
    PYRALOG_HEARTBEAT_INTERVAL_MS: 100,
    PYRALOG_SUSPECT_AFTER_MS: 500,
    PYRALOG_SIZE: 7,
  });
});

test('configuration reports every problem at once and no value', () => {
  const env = { PYRALOG_ID: 'Not An Id secret', PYRALOG_SIZE: '101', PYRALOG_LOG_LEVEL: 'secret' };
  assert.throws(
    () => readConfig(schema, env),
    (error: unknown) => {
      assert.ok(error instanceof PyralogError);
      assert.equal(error.code, 'invalid');
      const problems = error.fields.problems;
      assert.ok(Array.isArray(problems));
      assert.deepEqual(problems.map((problem) => problem.split(':')[0]).sort(), [
        'PYRALOG_ID',
        'PYRALOG_LOG_LEVEL',
        'PYRALOG_NATS_URL',
        'PYRALOG_SIZE',
      ]);
      assert.ok(problems.includes('PYRALOG_NATS_URL: is required'));
      assert.doesNotMatch(problems.join(), /secret/);
      return true;
    },
  );
  for (const size of ['0', '-1', '1.5', '1e3', 'x', ' 1', '99999999999999999']) {
    assert.throws(
      () => readConfig(z.object({ PYRALOG_SIZE: wholeNumber(1) }), { PYRALOG_SIZE: size }),
      PyralogError,
      size,
    );
  }
});

test('userinfo of urls is redacted, whatever it contains', () => {
  assert.equal(redactUserinfo('a nats://u:p@h:1,tls://token@h2 b'), 'a nats://***@h:1,tls://***@h2 b');
  assert.equal(redactUserinfo('nats://u:p@ss@h:1'), 'nats://***@h:1');
  assert.equal(redactUserinfo('nats://h:1 mail a@b'), 'nats://h:1 mail a@b');
});

test('log lines are JSON with stable fields, and all are out when the process exits', () => {
  const program = `
    const { createLogger } = await import(${JSON.stringify(new URL('../node/index.js', import.meta.url).href)});
    const { PyralogError } = await import(${JSON.stringify(new URL('../core/index.js', import.meta.url).href)});
    const log = createLogger({ service: 'test', id: 'test-1', level: 'info' });
    log.debug('hidden');
    log.info('plain');
    log.warn('with fields', { count: 1, error: new PyralogError({ code: 'fenced', message: 'no', fields: { epoch: 3 }, cause: new Error('nats://u:secret@h') }) });
    for (let index = 0; index < 1000; index++) log.info('many', { index });
    process.exit(0);
  `;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.equal(lines.length, 1_002);
  const [plain, fields] = lines;
  assert.deepEqual(Object.keys(plain ?? {}), ['level', 'time', 'service', 'id', 'msg']);
  assert.equal(plain?.level, 'info');
  assert.match(String(plain?.time), /^\d{4}-\d\d-\d\dT/);
  const error = fields?.error as Record<string, unknown>;
  assert.equal(error.code, 'fenced');
  assert.deepEqual(error.fields, { epoch: 3 });
  assert.doesNotMatch(stdout, /secret/);
});

test('a process whose stdout has no reader any more goes on and ends', { timeout: 20_000 }, async () => {
  const program = `
    const { createLogger } = await import(${JSON.stringify(new URL('../node/index.js', import.meta.url).href)});
    const log = createLogger({ service: 'test', level: 'info' });
    log.info('first');
    process.stdin.on('end', () => {
      for (let index = 0; index < 10000; index++) log.info('nobody hears this', { index });
      log.flush();
      process.exit(7);
    });
    process.stdin.resume();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  await once(child.stdout, 'close');
  child.stdin.end();
  const [code] = await once(child, 'exit');
  assert.equal(code, 7);
});

test('a process whose stdout is not read goes on, and what it logs is bounded', { timeout: 20_000 }, async () => {
  const program = `
    const { createLogger } = await import(${JSON.stringify(new URL('../node/index.js', import.meta.url).href)});
    const log = createLogger({ service: 'test', level: 'info' });
    for (let index = 0; index < 20000; index++) log.info('x'.repeat(1000));
    process.stderr.write('done');
    process.stdin.on('end', () => process.exit(0)).resume();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'pipe' });
  const [words] = (await once(child.stderr, 'data')) as [Buffer];
  assert.equal(words.toString(), 'done');
  let bytes = 0;
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    rest = (rest + chunk.toString()).split('\n').pop() ?? '';
  });
  child.stdin.end();
  await once(child, 'close');
  assert.ok(bytes > 4_000_000 && bytes < 6_000_000, String(bytes));
  assert.equal(rest, '');
});
