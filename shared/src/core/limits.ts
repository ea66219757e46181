/**
 * Every bound of the system, with its unit and reason. A bound that an operator may change is a default here and a
 * field of the process' configuration; the others are fixed because formats or safety rest on them.
 */
const KIB = 1024;
const MIB = 1024 * KIB;

export const LIMITS = {
  /** Encoded size of one record. Kafka's and NATS' default, so that a migration meets no surprise. */
  recordBytesMax: MIB,
  /** Header and body of one frame. NATS' own ceiling is 64 MiB; a server's `max_payload` lowers it. */
  frameBytesMax: 8 * MIB,
  /** Records of one batch: a decoded record costs about 100 bytes of heap, so this caps a batch's heap at some MB. */
  batchRecordsMax: 65_536,
  /** Header entries of one record. */
  recordHeadersMax: 256,
  /** Members of a copyset: a storage node subscribes RF*(RF+1)/2 subject patterns for each RF up to this. */
  replicationFactorMax: 7,
  /** Storage nodes of one epoch: the slots of a fragment, and the permutations of a copyset table. */
  nodesetNodesMax: 128,
  /** Copysets each node shares batches in, times RF-1; bounds the copyset table. */
  scatterWidthMax: 64,
  /** Partitions of one log: a topology reply for it must fit one message. */
  logPartitionsMax: 4_096,
  /** Partitions described by one topology reply; more take more requests. At ~600 B each, 0.3 MB. */
  topologyPartitionsMax: 512,
  /** Shards of the partition metadata. */
  epochShardsMax: 1_024,
  /** Fragments kept in one partition record: a KV value of ~1 MB. */
  fragmentsMax: 2_048,
  /** Control messages (JSON): requests and replies that are not frames. */
  controlMessageBytesMax: 900 * KIB,

  /** Unreleased batches of one partition in a sequencer's memory. */
  partitionWindowBytesMax: 32 * MIB,
  partitionWindowBatchesMax: 16_384,
  /** Batches of all partitions that a sequencer holds, unreleased or not yet on all RF nodes. */
  sequencerWindowBytesMax: 256 * MIB,
  /**
   * Producers whose sequences a partition remembers, in memory and in its record (~0.5 KB each of a KV value): the least
   * recently seen is forgotten first.
   */
  partitionProducersMax: 1_000,
  /** Batches per producer whose outcome a retry can still ask for (Kafka's value). */
  producerBatchesRemembered: 5,
  /** Bytes of a batch kept after release for a node that does not answer, over all partitions, before it is given up on. */
  lateCopiesBytesMax: 128 * MIB,

  /** Frames of one commit of a storage node; the source document's write cache. */
  commitBytesMax: 16 * MIB,
  /** Entries of one writev: POSIX' IOV_MAX. */
  commitFramesMax: 1_024,
  /** Frames received and not yet written by a storage node. Beyond it they are dropped; the sequencer resends. */
  storeQueueBytesMax: 256 * MIB,
  /** Recently stored batches in a storage node's memory. */
  recentBytesMax: 64 * MIB,
  /** Batches of one transaction of the index: about 5 ms of work. */
  indexTransactionBatches: 4_096,
  /** Batches stored and not yet in the index, about 150 B each. Beyond it commits wait for the index. */
  indexPendingBatchesMax: 65_536,
  /** Segment files that a storage node holds open. */
  openSegmentsMax: 256,
  /** Reads of segment files at once: of the four threads that do I/O, commits keep two. */
  diskReadsInFlightMax: 2,
  /** Bytes of one message of a read's stream. */
  readMessageBytesMax: 256 * KIB,
  /** Credit of one read request. */
  readCreditBytesMax: 16 * MIB,
  /** Read requests a storage node serves at once; more wait their turn. */
  readsInFlightMax: 64,
  readsQueuedMax: 4_096,

  /** Bytes of a reader's tail buffer; beyond it the reader leaves the tail and catches up from storage nodes. */
  readerTailBytesMax: 16 * MIB,
  /** Encoded and unacknowledged bytes of a producer. */
  producerInFlightBytesMax: 32 * MIB,
} as const;

export const DEFAULTS = {
  replicationFactor: 3,
  writeQuorum: 2,
  scatterWidth: 8,
  epochShards: 4,
  segmentBytes: 256 * MIB,
  heartbeatIntervalMs: 100,
  suspectAfterMs: 500,
  /** A store without acknowledgement is sent again to the node that lacks it. */
  resendAfterMs: 500,
  /** Longest time between two resends of one batch to one node. */
  resendAfterMsMax: 5_000,
  idleReleaseMs: 1,
  /** `memory` durability: longest time until the bytes are on disk. */
  flushIntervalMs: 1_000,
  indexFlushMs: 20,
  checkpointIntervalMs: 5_000,
} as const;
