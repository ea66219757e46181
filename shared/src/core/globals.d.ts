/**
 * The two pure globals that `core/` uses beyond ECMAScript. Everything ambient (timers, clocks, I/O) is left
 * undeclared on purpose, so that reaching for it does not compile.
 */
declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes: Uint8Array): string;
}
