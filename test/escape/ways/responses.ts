/** Servers that answer so that one reader sees one response and another two (response smuggling and splitting). */
import type {Attempt} from '../attempt.ts';
import {SITES} from '../addresses.ts';
import {http, say} from '../wire.ts';

/** A whole response, which must not come out of the one around it. */
const second = (token: string): string => http('HTTP/1.1 200 OK', 'Content-Length: 15', 'X-Second: yes') + token;

const ANSWERS: readonly (readonly [id: string, title: string, answer: (token: string) => string])[] = [
  [
    'cl-te',
    'both framings',
    (token) => `${http('HTTP/1.1 200 OK', 'Content-Length: 4', 'Transfer-Encoding: chunked')}0\r\n\r\n${second(token)}`,
  ],
  [
    'two-lengths',
    'two lengths',
    (token) => http('HTTP/1.1 200 OK', 'Content-Length: 0', 'Content-Length: 90') + second(token),
  ],
  ['bad-length', 'a length that is none', (token) => http('HTTP/1.1 200 OK', 'Content-Length: +0') + second(token)],
  [
    'te-odd',
    'an encoding that only looks like chunked',
    (token) => `${http('HTTP/1.1 200 OK', 'Transfer-Encoding: xchunked')}0\r\n\r\n${second(token)}`,
  ],
  [
    'lf',
    'a header line that ends with LF alone',
    (token) => http('HTTP/1.1 200 OK', `X: a\nX-Token: ${token}`, 'Content-Length: 0'),
  ],
  ['cr', 'a bare CR in a header', (token) => http('HTTP/1.1 200 OK', `X: a\rX-Token: ${token}`, 'Content-Length: 0')],
  ['nul', 'a NUL in a header', (token) => http('HTTP/1.1 200 OK', `X: ${token}\0`, 'Content-Length: 0')],
  ['fold', 'a folded header line', (token) => http('HTTP/1.1 200 OK', 'X: a', ` ${token}`, 'Content-Length: 0')],
  [
    'chunk-lf',
    'a chunk line that ends with LF alone',
    (token) => `${http('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked')}2;\nxx\r\n0\r\n\r\n${second(token)}`,
  ],
  [
    'behind',
    'a second response behind the first',
    (token) => http('HTTP/1.1 200 OK', 'Content-Length: 0') + second(token),
  ],
  [
    'behind-204',
    'a second response behind one that has no body',
    (token) => http('HTTP/1.1 204 No Content', 'Content-Length: 90') + second(token),
  ],
  [
    'switch',
    'an upgrade that nobody asked for',
    (token) => http('HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: raw') + token,
  ],
  [
    'early',
    'a hundred interim responses before it',
    (token) => http('HTTP/1.1 103 Early Hints', 'Link: x').repeat(100) + second(token),
  ],
  ['version', 'a version that does not exist', (token) => http('HTTP/7.3 200 OK', `X: ${token}`, 'Content-Length: 0')],
];

export const RESPONSES: readonly Attempt[] = ANSWERS.map(([id, title, answer]): Attempt => ({
  id: `responses-${id}`,
  title: `a server answers with ${title}, and the client sees the second reading`,
  invariant: 5,
  attempt: async (by) => {
    const bytes = Buffer.from(answer(by.token), 'latin1').toString('hex');
    const heard = await say(
      by.connect(SITES.socket, 80),
      http('GET /a HTTP/1.1', 'Host: socket.test', `X-Answer: ${bytes}`),
      http('GET /b HTTP/1.1', 'Host: socket.test'),
    );
    return heard.includes(by.token) ? 'answered' : undefined;
  },
  // The request says what to answer, in other letters: only the answer has the token.
  control: 'free',
}));
