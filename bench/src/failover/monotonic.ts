/** Milliseconds on the clock that all processes of a machine share (CLOCK_MONOTONIC): their times can be compared. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
