/**
 * `pyralog dev`: a local cluster of separate processes around a real nats-server, until Ctrl-C; its data stays, and the
 * same directory continues next time. With `--demo` it first shows on real data that the cluster does what it is for.
 */
import { connect } from '@pyralog/client';
import { type LocalCluster, startLocalCluster } from '@pyralog/infra';
import { invalid, LIMITS } from '@pyralog/shared/core';
import type { Command } from 'commander';
import { nonEmpty, wholeNumber } from '../arguments.ts';
import { commandLine } from '../command-line.ts';
import { addClusterOption, addJsonOption, clusterNameOf, DEFAULT_CLUSTER_NAME, DEV_DIRECTORY } from '../connection.ts';
import { consoleLogger } from '../console-logger.ts';
import { type DemoResult, demoTable, sequencersThatWrote } from '../demo/demo-result.ts';
import { demoInterrupted, runDemo } from '../demo/run-demo.ts';
import { requireFreePort } from '../free-port.ts';
import { listenForInterrupt } from '../interrupt.ts';
import type { Output } from '../output.ts';

interface DevOptions {
  readonly dir: string;
  readonly port: number;
  readonly storageNodes: number;
  readonly sequencers: number;
  readonly cluster?: string;
  readonly demo?: boolean;
  readonly once?: boolean;
  readonly json?: boolean;
}

const SEQUENCERS_MAX = 64;
const DEFAULT_PORT = 4222;

export function addDevCommand(parent: Command, output: Output): void {
  const command = parent
    .command('dev')
    .description('run a local cluster until Ctrl-C; its data stays')
    .option('--dir <directory>', 'where the data, the logs and cluster.json are', nonEmpty, DEV_DIRECTORY)
    .option('--port <n>', 'port of nats-server on 127.0.0.1; 0 for any free one', wholeNumber(0, 65_535), DEFAULT_PORT)
    .option('--storage-nodes <n>', 'storage nodes', wholeNumber(1, LIMITS.nodesetNodesMax), 4)
    .option('--sequencers <n>', 'sequencers', wholeNumber(1, SEQUENCERS_MAX), 2)
    .option('--demo', 'append 200,000 real records, read them back, compare, and show what it took')
    .option('--once', 'run the demo and end');
  addJsonOption(addClusterOption(command)).action((options: DevOptions) => runDev(options, output));
}

async function runDev(options: DevOptions, output: Output): Promise<void> {
  let cluster: LocalCluster | undefined;
  // While the cluster starts, the second one ends this process, and what it has started ends with it.
  const interrupt = listenForInterrupt(() => {
    if (cluster === undefined) return false;
    for (const process of cluster.processes) process.kill('SIGKILL');
    return true;
  });
  await requireFreePort(options.port);
  cluster = await startLocalCluster({
    directory: options.dir,
    storageNodes: options.storageNodes,
    sequencers: options.sequencers,
    port: options.port,
    clusterName: clusterNameOf(options),
    logger: consoleLogger(process.stderr),
  });
  const stopping = new AbortController();
  try {
    if (interrupt.signal.aborted) {
      if (options.once === true) throw demoInterrupted();
      return;
    }
    await output.write(readyLine(cluster, options));
    reportEnds(cluster, stopping.signal);
    let demoLog: string | undefined;
    if (options.demo === true || options.once === true) {
      demoLog = await demonstrate(cluster, options, output, interrupt.signal);
    }
    if (options.once === true || interrupt.signal.aborted) return;
    if (options.json !== true) await output.write(hints(cluster, demoLog));
    await aborted(interrupt.signal);
  } finally {
    stopping.abort();
    process.stderr.write(`stopping; the data stays in ${cluster.directory}\n`);
    await cluster.stop();
    interrupt.release();
  }
}

function readyLine(cluster: LocalCluster, options: DevOptions): string {
  const { natsUrl, monitorUrl, clusterName, directory } = cluster;
  const { storageNodes, sequencers } = options;
  if (options.json === true) {
    return `${JSON.stringify({ ready: { natsUrl, monitorUrl, clusterName, directory, storageNodes, sequencers } })}\n`;
  }
  return `ready ${natsUrl} cluster=${clusterName} storage-nodes=${storageNodes} sequencers=${sequencers} dir=${directory}\n`;
}

/** Says so when a process ends before it was asked to. */
function reportEnds(cluster: LocalCluster, stopping: AbortSignal): void {
  for (const { id, pid, logFile, exited } of cluster.processes) {
    void exited.then(() => {
      if (!stopping.aborted) process.stderr.write(`warning: ${id} ended (pid=${pid}, log=${logFile})\n`);
    });
  }
}

/**
 * @returns the log that holds the demo's records; `undefined` when it was interrupted, which with `--once` is an error.
 * @throws PyralogError when anything is not as it must be.
 */
async function demonstrate(
  cluster: LocalCluster,
  options: DevOptions,
  output: Output,
  signal: AbortSignal,
): Promise<string | undefined> {
  const client = await connect({ url: cluster.natsUrl, clusterName: cluster.clusterName, name: 'pyralog-demo' });
  let result: DemoResult;
  try {
    result = await runDemo({
      client,
      storageNodes: options.storageNodes,
      sequencers: cluster.processes.filter((process) => process.role === 'sequencer'),
      signal,
      progressStream: process.stderr,
    });
  } catch (reason) {
    if (signal.aborted && options.once !== true) return undefined;
    throw reason;
  } finally {
    await client.close();
  }
  await output.write(options.json === true ? `${JSON.stringify({ demo: result })}\n` : `\n${demoTable(result)}`);
  const writer = sequencersThatWrote(result)[0];
  if (writer !== undefined) {
    const { id, bytesWritten } = writer;
    throw invalid('bytesWritten', 'sequencer wrote to disk', { sequencer: id, bytesWritten });
  }
  return result.log;
}

function hints(cluster: LocalCluster, demoLog: string | undefined): string {
  const command = commandLine(process.argv[1] ?? 'pyralog', process.cwd());
  const { natsUrl, clusterName } = cluster;
  const at = `--nats ${natsUrl}${clusterName === DEFAULT_CLUSTER_NAME ? '' : ` --cluster ${clusterName}`}`;
  const lines = [
    ...(demoLog === undefined
      ? []
      : [`${command} consume ${demoLog} -o -3 --json ${at}`, `${command} log describe ${demoLog} ${at}`]),
    `${command} cluster status ${at}`,
    `${command} log create my/log --partitions 4 ${at}`,
    `seq 1000 | ${command} produce my/log ${at}`,
    `${command} consume my/log --follow ${at}`,
  ];
  return `\nThe cluster runs until Ctrl-C; its data stays. In another terminal:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
