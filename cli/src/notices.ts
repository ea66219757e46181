/** What a reader tells about without an error, as warnings: each once, until it was over. */
import type { ReaderNotice } from '@pyralog/client';
import { unreachable } from '@pyralog/shared/core';

/** Distinct warnings remembered; then they are forgotten and may come again. */
const REMEMBERED_MAX = 1_000;

export function noticePrinter(print: (line: string) => void): (notice: ReaderNotice) => void {
  const printed = new Set<string>();
  return (notice) => {
    const line = describeNotice(notice);
    if (notice.kind === 'node-back') printed.clear();
    if (printed.has(line)) return;
    if (printed.size >= REMEMBERED_MAX) printed.clear();
    printed.add(line);
    print(`warning: ${line}\n`);
  };
}

/** Without offsets, so that what goes on for many batches is one warning. */
function describeNotice(notice: ReaderNotice): string {
  switch (notice.kind) {
    case 'copy-missing':
      return `${notice.nodeId} lacks batches of partition ${notice.partition}; other copies are read`;
    case 'copy-corrupt':
      return `${notice.nodeId} has damaged batches of partition ${notice.partition}; other copies are read`;
    case 'node-silent':
      return `${notice.nodeId} does not answer; other storage nodes are read (${notice.reason})`;
    case 'node-back':
      return `${notice.nodeId} answers again`;
    case 'waiting-for-nodes':
      return `partition ${notice.partition} waits for a storage node that has the next batch: ${notice.nodeIds.join(', ')}`;
    case 'waiting-for-owner':
      return `partition ${notice.partition} waits for a sequencer: ${notice.problem}`;
    case 'waiting-for-topology':
      return `the log waits for a sequencer that knows it: ${notice.problem}`;
    case 'end-from-nodes':
      return `partition ${notice.partition} has no sequencer; what its storage nodes know to be released is read, perhaps less than there is`;
    case 'tail-left':
      return `partition ${notice.partition} grows faster than it is printed; it is read from storage nodes`;
    default:
      return unreachable(notice);
  }
}
