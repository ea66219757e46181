/** A process whose handler breaks an assertion. */
import { argv } from 'node:process';
import { assert, silentLogger, utf8 } from '../core/index.ts';
import { connectNats } from '../node/index.ts';

const transport = await connectNats({ url: argv[2] ?? '', name: 'test', logger: silentLogger });
transport.subscribe('assertion', () => assert(false, 'the law is broken'));
transport.publish('assertion', utf8(''));
