/** A `raw` step: bytes as they are written, on a connection of one's own. */
import {setTimeout as sleep} from 'node:timers/promises';
import type {Expectation, RawAction} from '../format/case.ts';
import type {Answer} from '../observation.ts';
import {readResponses} from './responses.ts';
import {ClientStream, openTcp, openTls, sniFor, type NotOpened} from './stream.ts';

/** An answer may come from a server that is slow; this bounds a lost one. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Where no answer is expected by the step, one is waited for this long. */
const QUIET_TIMEOUT_MS = 3000;
/** After an answer came: time for one more that nobody asked for, and for the connection to be closed. */
const SETTLE_MS = 150;
const CLOSE_TIMEOUT_MS = 2000;
/** A connection that should stay open is watched for this long. */
const STAYS_OPEN_MS = 500;

export interface RawResult {
  readonly answer: Answer;
  readonly responses: readonly number[];
  readonly closed: boolean;
  readonly source: string | null;
}

const notOpened = ({refused, source}: NotOpened): RawResult => ({
  answer: {kind: 'refused', how: refused},
  responses: [],
  closed: true,
  source,
});

/** Runs the step from the namespace at `path` to `ip`. `expect` says only what is worth waiting for. */
export async function runRaw(path: string, ip: string, action: RawAction, expect: Expectation): Promise<RawResult> {
  const socket = await openTcp(path, {ip, port: action.to.port});
  if ('refused' in socket) return notOpened(socket);
  const sni = action.tls?.sni ?? sniFor(action.to.host);
  const stream =
    action.tls === null
      ? socket
      : await openTls(socket, {sni: sni === '' ? null : sni, alpn: action.tls.alpn, ca: null, name: action.to.host});
  if ('refused' in stream) return notOpened(stream);
  const client = new ClientStream(
    stream,
    `${socket.localAddress?.includes(':') ? `[${socket.localAddress}]` : socket.localAddress}:${socket.localPort}`,
  );
  try {
    return await converse(client, action, expect);
  } finally {
    client.destroy();
  }
}

async function converse(client: ClientStream, action: RawAction, expect: Expectation): Promise<RawResult> {
  let before = 0;
  for (const piece of action.send) {
    if (piece.kind === 'sleep') {
      await client.until(() => false, piece.seconds * 1000);
      if (client.ending !== null) break;
    } else {
      before = client.received.length;
      if (!(await client.write(Buffer.from(piece.latin1, 'latin1')))) break;
    }
  }
  const methods = requestMethods(action);
  const read = () => readResponses(client.received, methods, client.ending !== null);
  const wanted =
    expect.responses?.length ??
    (expect.status !== undefined || expect.headers !== undefined || expect.body !== undefined ? 1 : 0);
  if (wanted > 0) await client.until(() => read().whole.length >= wanted || read().last, ANSWER_TIMEOUT_MS);
  else await client.until(() => client.received.length > before, QUIET_TIMEOUT_MS);
  if (expect.closed === true || expect.refused === true) await client.until(() => false, CLOSE_TIMEOUT_MS);
  else if (client.ending === null) await sleep(expect.closed === false ? STAYS_OPEN_MS : SETTLE_MS);

  const {received, ending} = client;
  const {whole, partial} = read();
  const closed = ending !== null;
  const source = client.source;
  const first = whole[0] ?? partial;
  if (first !== null) return {answer: first, responses: whole.map(({status}) => status), closed, source};
  if (received.length > 0)
    return {answer: {kind: 'bytes', latin1: received.toString('latin1')}, responses: [], closed, source};
  return {answer: {kind: 'refused', how: ending ?? 'timed out'}, responses: [], closed, source};
}

/** The methods at the beginnings of requests, for the framing of their answers. */
function requestMethods(action: RawAction): string[] {
  const text = action.send.map((piece) => (piece.kind === 'bytes' ? piece.latin1 : '')).join('');
  return [...text.matchAll(/(?:^|\r\n\r\n)([A-Z]+) [^\r\n]* HTTP\/1/g)].map((found) => found[1]!);
}
