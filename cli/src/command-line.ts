/** How this command was called, for hints that can be typed as they are. */
import { basename, relative, sep } from 'node:path';

/** @param script `process.argv[1]`. */
export function commandLine(script: string, directory: string): string {
  if (script.includes(`node_modules${sep}.bin${sep}`)) return 'npx pyralog';
  if (basename(script) === 'pyralog') return 'pyralog';
  const path = relative(directory, script);
  return `node ${path.startsWith('..') ? script : path}`;
}
