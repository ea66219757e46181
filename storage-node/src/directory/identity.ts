/**
 * `identity.json` in a data directory: whose it is. It is written on an empty disk at first start and never changes, so
 * that a node whose disk was lost or swapped cannot take part as if it still had its data.
 */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  describeError,
  hex64,
  type Incarnation,
  incarnationSchema,
  PyralogError,
  type Random,
  type StorageNodeId,
  storageNodeIdSchema,
} from '@pyralog/shared/core';
import { z } from 'zod';
import { writeFileDurably } from '../disk/write-file-durably.ts';

/** Of everything in a data directory. */
export const DIRECTORY_FORMAT_VERSION = 1;

const versionSchema = z.object({ formatVersion: z.number().int().min(1) });
const identitySchema = z.object({
  formatVersion: z.literal(DIRECTORY_FORMAT_VERSION),
  nodeId: storageNodeIdSchema,
  incarnation: incarnationSchema,
});

/**
 * The incarnation of a data directory, a new one when the directory is empty.
 * @throws PyralogError `invalid` when it is another node's, of a newer format, or has segments but no identity;
 *   `corrupt` when the identity is not readable.
 */
export async function openIdentity(dataDirectory: string, nodeId: StorageNodeId, random: Random): Promise<Incarnation> {
  const file = path.join(dataDirectory, 'identity.json');
  const content = await ifThere(file, () => readFile(file, 'utf8'));
  if (content === undefined) return create(dataDirectory, file, nodeId, random);
  const identity = parse(file, content);
  if (identity.nodeId === nodeId) return identity.incarnation;
  throw new PyralogError({
    code: 'invalid',
    message: 'data directory belongs to another storage node',
    fields: { field: 'PYRALOG_ID', dataDirectory, nodeId, belongsTo: identity.nodeId },
  });
}

async function create(
  dataDirectory: string,
  file: string,
  nodeId: StorageNodeId,
  random: Random,
): Promise<Incarnation> {
  const segments = (await ifThere(file, () => readdir(path.join(dataDirectory, 'segments')))) ?? [];
  if (segments.length > 0) {
    throw new PyralogError({
      code: 'invalid',
      message: 'data directory has segments but no identity',
      fields: { field: 'PYRALOG_DATA_DIR', dataDirectory, segments: segments.length },
    });
  }
  const incarnation = hex64(random.u64()) as Incarnation;
  const identity = { formatVersion: DIRECTORY_FORMAT_VERSION, nodeId, incarnation };
  await writeFileDurably(file, `${JSON.stringify(identity, undefined, 2)}\n`);
  return incarnation;
}

function parse(file: string, content: string): z.output<typeof identitySchema> {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    throw new PyralogError({
      code: 'corrupt',
      message: 'identity is not JSON',
      fields: { file, problem: describeError(cause) },
      cause,
    });
  }
  const version = versionSchema.safeParse(value);
  if (version.success && version.data.formatVersion > DIRECTORY_FORMAT_VERSION) {
    throw new PyralogError({
      code: 'invalid',
      message: 'data directory is of a newer format than this version reads',
      fields: { file, formatVersion: version.data.formatVersion, limit: DIRECTORY_FORMAT_VERSION },
    });
  }
  const identity = identitySchema.safeParse(value);
  if (identity.success) return identity.data;
  const issue = identity.error.issues[0];
  throw new PyralogError({
    code: 'corrupt',
    message: 'identity is not well formed',
    fields: { file, field: issue?.path.join('.'), problem: issue?.message },
  });
}

/** What `read` gives; `undefined` when there is nothing. Anything else that goes wrong may hide what there is. */
async function ifThere<T>(file: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    const fields = { file, problem: describeError(cause) };
    throw new PyralogError({ code: 'unavailable', message: 'identity cannot be read', fields, cause });
  }
}
