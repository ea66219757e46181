/** The command as a process: exit codes, error lines, help. Nothing here reaches a cluster. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../main.js', import.meta.url));
/** Nobody listens there: port 1 is reserved. */
const NOWHERE = 'nats://127.0.0.1:1';

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(...words: readonly string[]): Promise<Result> {
  const child = spawn(process.execPath, [main, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYRALOG_NATS_URL: NOWHERE, PYRALOG_CLUSTER: '' },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = await once(child, 'close');
  return { code: Number(code), stdout, stderr };
}

function resultAt(results: readonly Result[], index: number): Result {
  const result = results[index];
  assert.ok(result !== undefined);
  return result;
}

test('a bad number is a usage error that names its option', async () => {
  const cases = [
    [['log', 'create', 'a/b', '--partitions', 'x'], '--partitions <n>'],
    [['log', 'create', 'a/b', '--partitions', '0'], '--partitions <n>'],
    [['log', 'create', 'a/b', '--partitions', '1', '--write-quorum', '1.5'], '--write-quorum <n>'],
    [['consume', 'a/b', '-o', '-x'], '-o, --offset <where>'],
    [['consume', 'a/b', '-n', '-1'], '-n, --count <n>'],
    [['produce', 'a/b', '-p', '-1'], '-p, --partition <n>'],
    [['dev', '--port', '65536'], '--port <n>'],
  ] as const;
  const results = await Promise.all(cases.map(([words]) => run(...words)));
  for (const [index, [words, option]] of cases.entries()) {
    const { code, stdout, stderr } = resultAt(results, index);
    assert.equal(code, 2, words.join(' '));
    assert.equal(stdout, '');
    assert.ok(stderr.startsWith(`error: option '${option}' argument`), stderr);
    assert.match(stderr, /^[^\n]* \[invalid\] — see: pyralog [^\n]* --help\n$/);
  }
});

test('what is missing, unknown, malformed or contradictory is a usage error', async () => {
  const cases = [
    ['log', 'create', 'a/b'],
    ['log', 'create', '--partitions', '1'],
    ['log', 'create', 'a/b', '--partitions', '1', '--strategy', 'random'],
    ['log', 'describe', 'a/b', 'c/d'],
    ['produce', 'a/b', '-k', 'x', '--key-field', 'y'],
    ['consume', 'a/b', '--folow'],
    ['frobnicate'],
  ];
  const results = await Promise.all(cases.map((words) => run(...words)));
  for (const [index, words] of cases.entries()) {
    const { code, stderr } = resultAt(results, index);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, /^error: [^\n]* \[invalid\] — [^\n]*\n$/, words.join(' '));
  }
});

test('a malformed log name is one line that says what a name is, and ends 1', async () => {
  const names = ['orders', '/orders', 'shop/', 'shop/a b', 'a/b/c', 'shop/.x', 'shop/*'];
  for (const { code, stderr } of await Promise.all(names.map((name) => run('log', 'describe', name)))) {
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^error: log [^\n]*\(field=log, value=[^\n]*\) \[invalid\] — [^\n]*\n$/);
  }
});

test('with --json a usage error is an object too', async () => {
  const { code, stderr } = await run('log', 'list', 'not a namespace', '--json');
  assert.equal(code, 2);
  assert.equal(JSON.parse(stderr).error.code, 'invalid');
});

test('an unreachable NATS is one line with the address and a remedy, and ends 1', async () => {
  const commands = [
    ['log', 'list'],
    ['cluster', 'status'],
    ['consume', 'a/b'],
    ['produce', 'a/b'],
  ];
  for (const { code, stdout, stderr } of await Promise.all(commands.map((words) => run(...words)))) {
    assert.equal(code, 1, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^error: [^\n]*127\.0\.0\.1:1[^\n]* \[unavailable\] — [^\n]*--nats[^\n]*\n$/);
  }
  const { stderr } = await run('log', 'list', '--json');
  assert.equal(JSON.parse(stderr).error.code, 'unavailable');
});

test('help of every command ends 0; a group without its command shows it and ends 2', async () => {
  const commands = [
    [],
    ['dev'],
    ['log', 'create'],
    ['log', 'list'],
    ['log', 'describe'],
    ['log', 'delete'],
    ['produce'],
    ['consume'],
    ['cluster', 'status'],
  ];
  for (const { code, stdout } of await Promise.all(commands.map((words) => run(...words, '--help')))) {
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: pyralog/);
  }
  const { code, stderr } = await run('log');
  assert.equal(code, 2);
  assert.match(stderr, /^Usage: pyralog log/);
});

test('the version is the one of the package', async () => {
  const { code, stdout } = await run('--version');
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});
