/**
 * How far a partition may be read: asked of its owner, who alone knows. A topology that names no owner may be behind: an
 * epoch may have been opened, and appended to, since. So an owner is waited for, with patience; only then is believed where
 * the last epoch ended, or, when an open epoch's owner does not answer, the highest released offset that its storage nodes
 * have seen (released means released: what one of them has seen is true, if perhaps not the latest).
 */
import { delay, describeError, type Offset, PyralogError } from '@pyralog/shared/core';
import { Backoff } from '../backoff.ts';
import type { Closing } from '../closing.ts';
import { SETTINGS } from '../settings.ts';
import type { LogView } from '../topology.ts';
import type { ReaderContext } from './context.ts';
import { FragmentReader } from './fragment-reader.ts';

/**
 * Keeps asking until somebody knows; `undefined` when the reader was closed. Storage nodes, who may know less than was
 * acknowledged, are asked after `patienceMs`: an owner that died is usually replaced by then.
 * @throws PyralogError `invalid` when the log or the partition is gone.
 */
export async function findReleasedOffset(
  context: ReaderContext,
  options: { readonly partition: number; readonly closing: Closing; readonly patienceMs: number },
): Promise<Offset | undefined> {
  const { ports, topology, notice } = context;
  const { partition, closing, patienceMs } = options;
  const delayMsMax = patienceMs > 0 ? SETTINGS.endDelayMsMax : SETTINGS.statusDelayMsMax;
  const backoff = new Backoff(ports.random, { delayMsMin: 20, delayMsMax });
  const startedAtMs = ports.clock.monotonicMs();
  let view = await topology.get();
  for (let attempt = 1; !closing.isClosed; attempt++) {
    try {
      const known = await askOnce(context, view, partition);
      if (known !== undefined) return known;
      const isLikelyBack = attempt < SETTINGS.ownerAttemptsMax && view.partitions[partition]?.state === 'serving';
      if (!isLikelyBack && ports.clock.monotonicMs() - startedAtMs >= patienceMs) {
        const reported = closedEnd(view, partition) ?? (await askNodes(context, view, partition));
        if (reported !== undefined) {
          notice({ kind: 'end-from-nodes', partition, offset: reported });
          return reported;
        }
        notice({ kind: 'waiting-for-owner', partition, problem: 'no storage node answers' });
      }
      view = await topology.refresh(view);
    } catch (error) {
      if (!(error instanceof PyralogError) || error.retry === 'never') throw error;
      notice({ kind: 'waiting-for-owner', partition, problem: describeError(error) });
    }
    await delay(ports.clock, backoff.next());
  }
  return undefined;
}

/**
 * The released offset as the topology's owner says, `undefined` when there is none or it says nothing of the open epoch.
 * @throws PyralogError `invalid` when there is no such partition.
 */
export async function askOnce(context: ReaderContext, view: LogView, partition: number): Promise<Offset | undefined> {
  const described = view.partitions[partition];
  if (described === undefined) throw noSuchPartition(partition, view);
  const open = described.fragments.at(-1);
  if (open === undefined || open.end !== undefined) return undefined;
  try {
    const status = await context.statuses.ask(view.log.namespace, open.sequencerId, described.partitionId);
    return status?.epoch === open.epoch && status.nonce === open.nonce ? status.releasedOffset : undefined;
  } catch (error) {
    if (error instanceof PyralogError) return undefined;
    throw error;
  }
}

/** Where the last epoch ended, if none is open. */
function closedEnd(view: LogView, partition: number): Offset | undefined {
  const described = view.partitions[partition];
  const last = described?.fragments.at(-1);
  return last === undefined ? described?.trimPoint : last.end;
}

/** The highest released offset that the nodes of the open epoch report; `undefined` when none answers. */
async function askNodes(context: ReaderContext, view: LogView, partition: number): Promise<Offset | undefined> {
  const described = view.partitions[partition];
  const open = described?.fragments.at(-1);
  if (described === undefined || open === undefined) return undefined;
  const reader = new FragmentReader(context, partition, described.partitionId, open);
  const from = open.start;
  const request = reader.request({ from, until: (from + 1) as Offset, exclude: [], credit: 1 });
  const answers = await Promise.all(
    reader.nodeIds.map(
      (nodeId) =>
        new Promise<boolean>((resolve) => {
          context.reads.send(nodeId, request, {
            onFrames: () => undefined,
            onEnd: (end) => {
              reader.releasedOffsetSeen(end.releasedOffset);
              resolve(true);
            },
            onFailure: () => resolve(false),
          });
        }),
    ),
  );
  return answers.includes(true) ? reader.releasedOffset : undefined;
}

export function noSuchPartition(partition: number, view: LogView): PyralogError {
  return new PyralogError({
    code: 'invalid',
    message: 'log has no such partition',
    fields: { field: 'partition', partition, partitions: view.log.partitionCount },
  });
}
