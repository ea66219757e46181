/**
 * That nothing ambient gets into `core/`: the real compiler and the real linter, with the project's own configuration,
 * refuse what is forbidden there, each thing by itself. A copy of this package's core is checked, with one more file.
 */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** A statement that does not belong into core, and what refuses it. */
interface Impurity {
  readonly code: string;
  /** Whether the compiler knows nothing of it in core. */
  readonly compiles: boolean;
  readonly lintRule: string;
}

const IMPURITIES: readonly Impurity[] = [
  { code: 'export const x = Date.now();', compiles: true, lintRule: 'style/noRestrictedGlobals' },
  { code: 'export const x = new Date();', compiles: true, lintRule: 'style/noRestrictedGlobals' },
  { code: 'export const x = Math.random();', compiles: true, lintRule: 'nursery/noJsRestrictedProperties' },
  { code: 'export const { random } = Math;', compiles: true, lintRule: 'nursery/noJsRestrictedProperties' },
  { code: 'export const x = performance.now();', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'export const x = crypto.randomUUID();', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'setTimeout(() => {}, 1);', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'setInterval(() => {}, 1);', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'setImmediate(() => {});', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'queueMicrotask(() => {});', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: "console.log('x');", compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'export const x = process.env.HOME;', compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: "export const x = Buffer.from('x');", compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: "export const x = fetch('http://127.0.0.1/');", compiles: false, lintRule: 'style/noRestrictedGlobals' },
  { code: 'export const x = globalThis.Date.now();', compiles: true, lintRule: 'style/noRestrictedGlobals' },
  {
    code: "import { readFileSync } from 'node:fs';\nexport const x = readFileSync;",
    compiles: false,
    lintRule: 'correctness/noNodejsModules',
  },
  {
    code: "import { readFileSync } from 'fs';\nexport const x = readFileSync;",
    compiles: false,
    lintRule: 'correctness/noNodejsModules',
  },
  { code: "export const x = import('node:net');", compiles: false, lintRule: 'correctness/noNodejsModules' },
];

/** Packages that do I/O. Their types bring in those of Node.js, so that only the linter can keep them out. */
const IMPURE_PACKAGES = ['nats', 'lmdb', 'pino', '@pyralog/shared/node', '@aws-sdk/client-s3'];

/** What core may use; also that a file in the copy is refused for what is in it and not for where it is. */
const PURE = `import { Encoder } from 'cbor-x';
import { z } from 'zod';
import { utf8 } from './bytes.ts';

export const pure = [new Encoder(), z.string(), utf8('x'), Math.max(1, 2), new Map<string, number>()];
`;

const require = createRequire(import.meta.url);
const root = findRoot(dirname(fileURLToPath(import.meta.url)));
let copy = '';

function findRoot(from: string): string {
  return existsSync(join(from, 'biome.json')) ? from : findRoot(dirname(from));
}

before(() => {
  copy = mkdtempSync(join(tmpdir(), 'pyralog-purity-'));
  for (const file of ['biome.json', 'tsconfig.base.json', 'package.json']) cpSync(join(root, file), join(copy, file));
  mkdirSync(join(copy, 'shared'));
  cpSync(join(root, 'shared/package.json'), join(copy, 'shared/package.json'));
  cpSync(join(root, 'shared/src/core'), join(copy, 'shared/src/core'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
});
after(() => rmSync(copy, { recursive: true, force: true }));

function run(tool: string, ...args: string[]): SpawnSyncReturns<string> {
  const result = spawnSync(process.execPath, [tool, ...args], { cwd: copy, encoding: 'utf8', timeout: 60_000 });
  assert.equal(result.error, undefined);
  return result;
}

/** Writes one file per piece of code into the copy's core, instead of those before, and gives their names. */
function writeCore(pieces: readonly string[]): string[] {
  const core = join(copy, 'shared/src/core');
  for (const name of readdirSync(core)) if (name.startsWith('purity-')) rmSync(join(core, name));
  return pieces.map((code, index) => {
    const name = `purity-${index}.ts`;
    writeFileSync(join(core, name), `${code}\n`);
    return name;
  });
}

/** The linter's errors in the copy's core, one a line. */
function lint(): string[] {
  const biome = bin('@biomejs/biome', 'bin/biome');
  const { stdout } = run(biome, 'lint', '--reporter=github', '--max-diagnostics=none', 'shared/src/core');
  return stdout.split('\n').filter((line) => line.startsWith('::error'));
}

const bin = (name: string, path: string): string => join(dirname(require.resolve(`${name}/package.json`)), path);

test('the compiler refuses in core whatever is not in ECMAScript itself', () => {
  const names = writeCore([...IMPURITIES.map(({ code }) => code), PURE]);
  const { stdout } = run(bin('typescript', 'bin/tsc'), '-p', 'shared/src/core', '--noEmit', '--pretty', 'false');
  for (const [index, name] of names.entries()) {
    const refused = new RegExp(`${name}\\(\\d+,\\d+\\): error TS`).test(stdout);
    const impurity = IMPURITIES[index];
    if (impurity === undefined) assert.ok(!refused, `what is pure is refused:\n${stdout}`);
    else if (!impurity.compiles) assert.ok(refused, `compiles in core: ${impurity.code}`);
  }
});

test('the linter refuses packages that do I/O in core', () => {
  const names = writeCore(IMPURE_PACKAGES.map((name) => `import * as x from '${name}';\nexport const y = x;`));
  const errors = lint();
  for (const [index, name] of names.entries()) {
    const refused = errors.some((line) => line.includes(`${name},`) && line.includes('style/noRestrictedImports'));
    assert.ok(refused, IMPURE_PACKAGES[index]);
  }
});

test('the linter refuses every ambient clock, timer, source of randomness and I/O in core', () => {
  const names = writeCore([...IMPURITIES.map(({ code }) => code), PURE]);
  const errors = lint();
  for (const [index, name] of names.entries()) {
    const impurity = IMPURITIES[index];
    const own = errors.filter((line) => line.includes(`${name},`));
    if (impurity === undefined) {
      assert.deepEqual(own, [], 'what is pure is refused');
      continue;
    }
    const refused = own.some((line) => line.includes(impurity.lintRule));
    assert.ok(refused, `${impurity.code}\n${own.join('\n')}`);
  }
});

test('the core of every package is compiled without types of its surroundings, and depends on cores only', () => {
  const packages = readdirSync(root).filter((name) => existsSync(join(root, name, 'src/core/tsconfig.json')));
  assert.ok(packages.includes('shared'));
  for (const name of packages) {
    const directory = join(root, name, 'src/core');
    const config = JSON.parse(readFileSync(join(directory, 'tsconfig.json'), 'utf8')) as {
      compilerOptions: { types?: string[]; lib?: string[] };
      references?: { path: string }[];
    };
    assert.deepEqual(config.compilerOptions.types, [], name);
    for (const lib of config.compilerOptions.lib ?? []) assert.match(lib, /^ES/, name);
    for (const { path } of config.references ?? []) assert.match(resolve(directory, path), /\/src\/core$/, name);
  }
});
