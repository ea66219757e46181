export * from './counters.ts';
export * from './segment-header.ts';
export * from './storage-node.ts';
