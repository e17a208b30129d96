/** `npm run fuzz -- --target framing`: what the differential found, and with --markdown the table of known variants. */
import {writeFileSync} from 'node:fs';
import {asLine, readCorpus, writeCorpus} from '../corpus.ts';
import {fuzzFraming} from './fuzz.ts';
import {startPeers} from './peers/index.ts';
import {fuzzResponses} from './fuzz-responses.ts';
import {startResponseReaders} from './responses.ts';
import {framingTable} from './table.ts';

/** Answers how many differences there were. */
export async function framing(seconds: number, seed: number, markdown: string | null): Promise<number> {
  const peers = await startPeers();
  try {
    if (peers.missing.length > 0) console.log(`not installed, so not asked: ${peers.missing.join(', ')}`);
    if (markdown !== null) writeFileSync(markdown, `${await framingTable(peers.list)}\n`);
    const {executions, kinds, found, refusedOfTwoMinds} = await fuzzFraming(peers.list, {seconds, seed});
    const names = peers.list.map(({name}) => name).join(', ');
    console.log(
      `| framing | requests, by us and by ${names} | ${executions} | - | ${kinds} | - | - | ${found.length} |`,
    );
    if (found.length > 0)
      writeCorpus('framing', 'found', [...readCorpus('framing', 'found'), ...found.map(({input}) => input)]);
    for (const {input, message} of found) console.log(`\nframing: ${message}\n  ${asLine(input)}\n`);
    console.log('refused, and read in two ways by two of them:');
    for (const [code, input] of [...refusedOfTwoMinds].sort(([a], [b]) => (a < b ? -1 : 1))) console.log(`  ${code}: ${asLine(input)}`); // prettier-ignore
    return found.length;
  } finally {
    await peers.close();
  }
}

/** The same for responses. */
export async function framingOfResponses(seconds: number, seed: number): Promise<number> {
  const readers = await startResponseReaders();
  try {
    const {executions, kinds, found} = await fuzzResponses(readers, {seconds, seed});
    console.log(
      `| framing-responses | responses, by us and by ${readers.names.join(', ')} | ${executions} | - | ${kinds} | - | - | ${found.length} |`,
    );
    for (const {input, message} of found) console.log(`\nframing-responses: ${message}\n  ${asLine(input)}\n`);
    return found.length;
  } finally {
    await readers.close();
  }
}
