/** Who the peers are, as the controller's issuer tells it: listened to for as long as we run, the last good state kept. */
import {readFileSync} from 'node:fs';
import type {IncomingMessage} from 'node:http';
import {request as httpsRequest} from 'node:https';
import {isIP} from 'node:net';
import {SallyportError} from '../../runtime/errors.ts';
import type {Journal} from '../../runtime/journal.ts';
import {pause} from '../../runtime/pause.ts';
import {printable} from '../../runtime/printable.ts';
import type {Peers} from '../../sources/peers.ts';
import type {IssuerAccess} from './identity/ask.ts';
import {retryInMs} from './identity/renewal.ts';
import {PeerTable} from './peer-lines.ts';

/** It writes something every 15 s. */
const SILENT_MS = 45_000;
/** 100,000 pods are 20 MB. */
const MAX_LINE_CHARACTERS = 67_108_864;
const MAX_REFUSAL_BYTES = 4_096;
const OK = 200;

/** Starts at once. `changed`: what is known is other than it was. */
export function listenToPeers(issuer: IssuerAccess, journal: Journal, changed: () => void): Peers {
  const table = new PeerTable();
  const stopped = new AbortController();
  let known: Peers['known'] = null;
  let services: Peers['services'] = new Map();
  let said = '';
  let failures = 0;
  const take = (line: string): void => {
    table.take(line);
    failures = 0;
    said = '';
    [known, services] = [table.entries(), table.services()];
    changed();
  };
  void (async () => {
    while (!stopped.signal.aborted) {
      try {
        await listen(issuer, stopped.signal, take);
      } catch (error) {
        if (stopped.signal.aborted) return;
        failures++;
        const why = error instanceof SallyportError ? error.describe() : (error as Error).message;
        const meanwhile = known === null ? 'until then nothing is let in or out' : 'the last table stays in force';
        if (why !== said)
          journal.notice('error', 'mtls.peers', `who the peers are is not told: ${why} Asked again; ${meanwhile}.`);
        said = why;
      }
      await pause(retryInMs(Math.max(failures, 1), Math.random()), stopped.signal);
    }
  })();
  return {
    get known() {
      return known;
    },
    get services() {
      return services;
    },
    close: () => stopped.abort(),
  };
}

/** Until it ends. Rejects where it does not begin, breaks, or tells what is none. */
async function listen(access: IssuerAccess, signal: AbortSignal, take: (line: string) => void): Promise<void> {
  const answer = await ask(access, signal);
  answer.setEncoding('utf8');
  if (answer.statusCode !== OK) {
    let text = '';
    for await (const part of answer) if (text.length < MAX_REFUSAL_BYTES) text += part as string;
    throw new Error(`status ${answer.statusCode}: ${printable(text, 200)}`);
  }
  let line = '';
  for await (const part of answer) {
    const [first, ...rest] = (part as string).split('\n');
    line += first;
    for (const next of rest) {
      if (line !== '') take(line);
      line = next;
    }
    if (line.length > MAX_LINE_CHARACTERS) throw new Error('a line that is too long');
  }
}

function ask({host, port, caFile, tokenFile}: IssuerAccess, signal: AbortSignal): Promise<IncomingMessage> {
  const [ca, token] = [readFileSync(caFile, 'utf8'), readFileSync(tokenFile, 'utf8').trim()];
  // An empty list of CAs is the public ones to Node: anybody could say who our peers are.
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) return Promise.reject(new Error(`${caFile} holds no certificate`));
  return new Promise((resolve, reject) => {
    const asking = httpsRequest(
      {
        ...{host, port, ca, path: '/v1/peers', agent: false, minVersion: 'TLSv1.3', signal, timeout: SILENT_MS},
        ...(isIP(host) === 0 ? {servername: host} : {}),
        headers: {authorization: `Bearer ${token}`},
      },
      resolve,
    );
    asking.once('timeout', () => asking.destroy(new Error(`${host}:${port} is silent`)));
    asking.on('error', reject);
    asking.end();
  });
}
