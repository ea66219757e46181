/** Sends bytes straight to a subject, past the client's checks. */
import type { TestContext } from 'node:test';
import type { LocalCluster } from '@pyralog/infra';
import { decodeAppendReply, PyralogError, Subjects, silentLogger } from '@pyralog/shared/core';
import { connectNats, type NatsTransport } from '@pyralog/shared/node';
import { CLUSTER_NAME } from './cluster.ts';

export const subjects = new Subjects(CLUSTER_NAME);

export async function connectRaw(test: TestContext, cluster: LocalCluster): Promise<NatsTransport> {
  const transport = await connectNats({ url: cluster.natsUrl, name: 'raw', logger: silentLogger });
  test.after(() => transport.close());
  return transport;
}

/** What a service answers to `payload`: the error's code, or `ok`. */
export async function answerTo(transport: NatsTransport, subject: string, payload: Uint8Array): Promise<string> {
  const reply = await transport.request(subject, payload, { timeoutMs: 5_000 });
  try {
    decodeAppendReply(reply.payload);
    return 'ok';
  } catch (error) {
    if (error instanceof PyralogError) return error.code;
    throw error;
  }
}
