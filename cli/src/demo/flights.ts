/**
 * The demo's input: 200,000 flights within the USA in 2001 (delay and distance, in order of departure), which ship with
 * the package `vega-datasets`.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** One record to append. Its key is the distance, a stand-in for the route, so that flights of a route stay in order. */
export interface FlightRecord {
  readonly key: string;
  readonly value: Uint8Array;
}

const flightsSchema = z.array(z.object({ delay: z.number(), distance: z.number(), time: z.number() }));

export async function loadFlights(): Promise<FlightRecord[]> {
  const file = new URL('../data/flights-200k.json', import.meta.resolve('vega-datasets'));
  const flights = flightsSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  return flights.map((flight) => ({ key: String(flight.distance), value: Buffer.from(JSON.stringify(flight)) }));
}
