/**
 * Runs in a pod: requests all the time through three kinds of connections, and each second a line with what came of them.
 *   node load.ts https://HOST
 */
import http2 from 'node:http2';
import https from 'node:https';

const url = process.argv[2]!;
const PAUSE_MS = 50;
type Kind = 'fresh' | 'kept' | 'h2';

const counts = {
  fresh: {ok: 0, failed: 0},
  kept: {ok: 0, failed: 0},
  h2: {ok: 0, failed: 0},
  errors: {} as Record<string, number>,
};
setInterval(() => console.log(JSON.stringify(counts)), 1000);

const count = (kind: Kind, error: string | null): void => {
  counts[kind][error === null ? 'ok' : 'failed']++;
  if (error === null) return;
  const text = `${kind}: ${error}`;
  counts.errors[text] = (counts.errors[text] ?? 0) + 1;
};
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

/** null: answered; `again`: its kept connection was closed under it. */
function request(agent: https.Agent): Promise<string | null> {
  return new Promise((resolve) => {
    const asked = https.get(`${url}/public/load`, {agent, timeout: 30_000}, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer.statusCode === 200 ? null : `status ${answer.statusCode}`));
      answer.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
    asked.once('timeout', () => asked.destroy(new Error('timeout')));
    asked.once('error', (error: NodeJS.ErrnoException) =>
      // RFC 9110 §9.2.2: a client may repeat an idempotent request where a kept connection was closed under it.
      resolve(asked.reusedSocket && error.code === 'ECONNRESET' ? 'again' : (error.code ?? error.message)),
    );
  });
}

async function loop(kind: Kind, agent: https.Agent): Promise<never> {
  for (;;) {
    let error = await request(agent);
    if (error === 'again') error = await request(agent);
    count(kind, error);
    await pause();
  }
}

/** A session until it says that it ends; then another one, as every client does. */
async function sessions(): Promise<never> {
  for (;;) {
    const session = http2.connect(url);
    session.on('error', () => undefined);
    let going = true;
    session.once('goaway', () => (going = false));
    session.once('close', () => (going = false));
    while (going && !session.closed && !session.destroyed) {
      const error = await stream(session);
      // Refused before it was looked at: it may be sent again (RFC 9113 §8.7).
      if (error === 'refused') break;
      count('h2', error);
      await pause();
    }
    session.close();
  }
}

function stream(session: http2.ClientHttp2Session): Promise<string | null> {
  return new Promise((resolve) => {
    let status: number | undefined;
    const asked = session.request({':path': '/public/load'});
    asked.setTimeout(30_000, () => asked.close(http2.constants.NGHTTP2_CANCEL));
    asked.once('response', (headers) => {
      status = headers[':status'];
    });
    asked.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'ERR_HTTP2_GOAWAY_SESSION' || /REFUSED/.test(error.message) ? 'refused' : error.message),
    );
    asked.once('close', () => resolve(status === 200 ? null : `status ${status}`));
    asked.resume();
    asked.end();
  });
}

void loop('fresh', new https.Agent({keepAlive: false}));
void loop('kept', new https.Agent({keepAlive: true, maxSockets: 1}));
void sessions();
