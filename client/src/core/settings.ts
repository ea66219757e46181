/** The client's fixed bounds and times, with their reasons. What an application may change is an option instead. */
const KIB = 1024;
const MIB = 1024 * KIB;

export const SETTINGS = {
  /** One request that changes something. */
  controlTimeoutMs: 10_000,
  /** Longest time that such a request is repeated while it certainly was not applied. */
  controlPatienceMs: 2_000,
  /** A drain waits until every partition of a sequencer is handed over. */
  drainTimeoutMs: 60_000,
  /** One request that changes nothing, and the longest time that it is repeated. */
  queryTimeoutMs: 2_000,
  queryPatienceMs: 5_000,
  /** The first time; doubling. */
  queryTimeoutMsMin: 200,
  /** Status of partitions: asked again soon, so not worth a long wait. */
  statusTimeoutMs: 2_000,

  /** Between two fetches of one log's topology, doubling while they bring nothing that helps. */
  topologyDelayMsMin: 50,
  topologyDelayMsMax: 2_000,
  /** Sequencers that still say something older after this time do not lag: they are right. */
  topologyLagMsMax: 5_000,
  /** Hints within this time lead to one fetch: a sequencer that comes or goes moves many partitions at once. */
  topologyHintDelayMs: 50,
  /** The same of hints that tell who the owner is: what else they mean can wait. */
  topologyNamedDelayMs: 500,

  /** Between two attempts of a partition's batches. */
  sendDelayMsMin: 10,
  sendDelayMsMax: 1_000,
  /** Before the topology is fetched because an owner is gone: the next one usually says so by itself, and sooner. */
  refreshDelayMsMin: 40,
  /** Taken off the server's `max_payload`: a storage node sends the same frame on with a prefix of its own. */
  payloadReserveBytes: KIB,
  /** Records that wait for room, times the bytes in flight; beyond it calls are refused with `overloaded`. */
  waitingBytesFactor: 4,

  /** A storage node that sends nothing for this long does not answer. */
  readSilenceMs: 2_000,
  /** Until a storage node that did not answer is tried again, doubling. */
  nodeRetryMsMin: 2_000,
  nodeRetryMsMax: 30_000,
  /** Requests to one node that end without progress before it counts as not answering. */
  readsFruitlessMax: 5,
  /** The same for requests to a node that has too many: it works, and others have as many. */
  readsRefusedMax: 20,
  readDelayMsMin: 20,
  readDelayMsMax: 1_000,
  /** Between two rounds over the nodes of a batch that none of them has. */
  copyDelayMsMin: 100,
  copyDelayMsMax: 5_000,
  /** A copy that is missing for less long is being resent: not worth a notice. */
  copyGraceMs: 10_000,
  /** Batches that one node lacks in a row before the others are asked for its share. */
  missesInRowMax: 4,
  /** Bytes that a reader may hold of what storage nodes sent, over all partitions and nodes. */
  creditBytes: 32 * MIB,

  /** Frames that wait for their release, or a gap, for this long: ask the owner. */
  releaseDelayMs: 1_000,
  /** A tail that is silent for this long: ask the owner. */
  silentTailMs: 5_000,
  statusDelayMsMax: 3_000,
  /** Frames that were released but did not arrive are on their way for this long, then they are a gap. */
  gapGraceMs: 20,
  /** Attempts to hear the released offset from the owner before storage nodes are asked instead. */
  ownerAttemptsMax: 3,
  /** How long whoever needs the end of a partition waits for a new owner, and how often it looks meanwhile. */
  ownerPatienceMs: 10_000,
  endDelayMsMax: 500,
} as const;
