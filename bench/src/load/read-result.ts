/** What one reader read. */
export interface CatchUpResult {
  readonly seconds: number;
  readonly records: number;
  readonly valueBytes: number;
}
