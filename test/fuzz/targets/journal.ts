/** Log lines about requests of any bytes: one line stays one line, of printable characters, that reads back. */
import type {Decision, EgressRequest} from '../../../policy/index.ts';
import {createJsonJournal, createTextJournal} from '../../../runtime/journal.ts';
import type {Journal} from '../../../runtime/journal.ts';
import type {LineWriter} from '../../../runtime/output.ts';
import {printable} from '../../../runtime/printable.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

/** Nothing of these may be seen in a line. */
const SECRET = 'S3CR3T-TOKEN';
/** One connection, with all its requests. */
const SOURCE = {ip: '10.244.1.5', port: 40000};
const NOW = (): Date => new Date(0);

function run(input: Buffer): string {
  // Fields are cut at line feeds, the first byte chooses the shape.
  const [method = '', host = '', path = '', sni = '', failure = ''] = input.toString('latin1').slice(1).split('\n');
  const shape = (input[0] ?? 0) % 3;
  const request = requestOf(shape, {method, host, path, sni});
  const decision = decisionOf(shape);
  const lines: string[] = [];
  const out = {line: (text: string) => void lines.push(text), flush: () => undefined};
  const say = (journal: Journal): void => {
    journal.decision(decision, request);
    journal.flow({decision, request, status: 200, protocol: 'h1', bytesIn: 1, bytesOut: 2, durationMs: 3, upstream: '203.0.113.9:443', proxied: null, failure: failure === '' ? null : {reason: 'UpstreamUnreachable', message: printable(failure)}}); // prettier-ignore
  };
  say(createJsonJournal(out, NOW));
  hold(lines.length === 2, `${lines.length} lines for a decision and a flow`);
  for (const line of lines) {
    hold(/^[ -~]+$/.test(line), `a line of other than printable ASCII: ${JSON.stringify(line)}`);
    const read = JSON.parse(line) as Record<string, unknown>;
    same('what was written is not read', [read['event'], read['verdict'], read['id'], read['time']], [line === lines[0] ? 'egress.decision' : 'egress.flow', decision.verdict, decision.id, NOW().toISOString()]); // prettier-ignore
  }
  // One that has written other lines before, of the same connection too, writes the same.
  const fresh = lines.splice(0);
  say(remembering(out));
  same('a journal that remembers writes other lines', lines, fresh);
  lines.length = 0;
  say(createTextJournal(out, false, NOW));
  for (const line of lines) {
    hold(/^[ -~]+$/.test(line), `a line of other than printable ASCII: ${JSON.stringify(line)}`);
    hold(/^00:00:00 default\/(?:web|job): /.test(line), `a line that begins otherwise: ${line}`);
  }
  hold(!lines.some((line) => line.includes(SECRET)), 'a header or query value is in a line');
  for (const text of [method, host, path, sni, failure]) {
    const shown = printable(text);
    hold(/^[ -~]*$/.test(shown), 'printable() lets something through');
    // Two texts are never shown as the same one, as long as nothing was cut.
    if (text.length < 500) same('what is shown cannot be read back', unprintable(shown), text);
  }
  return `${shape} ${[method, host, path, sni].map((text) => (text === '' ? 0 : /^[ -~]*$/.test(text) ? 1 : 2)).join('')}`;
}

let current: LineWriter | null = null;
const writer: LineWriter = {line: (text) => current!.line(text), flush: () => undefined};
const old = createJsonJournal(writer, NOW);
/** The one journal that has seen all inputs. */
function remembering(out: LineWriter): Journal {
  current = out;
  return old;
}

function unprintable(shown: string): string {
  return shown.replace(/\\(?:\\|x([0-9a-f]{2})|u\{([0-9a-f]+)\})/g, (_all, byte?: string, code?: string) => byte === undefined && code === undefined ? '\\' : String.fromCodePoint(parseInt(byte ?? code!, 16))); // prettier-ignore
}

function requestOf(shape: number, {method, host, path, sni}: Readonly<Record<string, string>>): EgressRequest {
  const tls = {sni: sni ?? null, alpn: [], ech: false};
  const http = {version: '1.1', method: method!, scheme: null, authority: null, host: host!, path: path!, query: `token=${SECRET}`, upgrade: [], headers: ['Authorization', SECRET, 'Cookie', SECRET]} as const; // prettier-ignore
  return {
    id: '0123456789abcdef',
    arrived: 'captured',
    workload: {namespace: 'default', namespaceLabels: {}, name: host!.length % 2 === 0 ? 'web' : 'job', uid: 'u', labels: {}, serviceAccount: 'sa', node: null, trustsCa: true}, // prettier-ignore
    source: SOURCE,
    destination: {ip: '203.0.113.9', port: shape === 1 ? 80 : 443, host: shape === 1 ? host! : null},
    connectAuthority: null,
    canInspect: true,
    traffic: shape === 0 ? {kind: 'https', tls, http} : shape === 1 ? {kind: 'http', http} : {kind: 'tls', tls},
  };
}

function decisionOf(shape: number): Decision {
  const denied = shape === 1;
  return {
    id: '0123456789abcdef',
    verdict: denied ? 'deny' : 'allow',
    enforced: true,
    reason: denied ? 'NoRuleMatched' : 'RuleAllowed',
    policy: denied ? null : {namespace: 'default', name: shape === 0 ? 'p' : 'q'},
    rule: denied ? null : 'r',
    wouldDeny: denied,
    message: 'a sentence',
    response: denied ? {status: 403, headers: [], body: ''} : null,
    requestMutations: {set: {}, add: {}, remove: []},
    responseMutations: {set: {}, add: {}, remove: []},
    via: {kind: 'direct'},
    inspect: true,
    dial: denied ? [] : ['203.0.113.9'],
  };
}

export const JOURNAL: Target = {
  name: 'journal',
  reads: 'log lines about names and paths of any bytes',
  covers: ['/runtime/journal', '/runtime/printable', '/runtime/claimed-name', '/runtime/json-text'],
  dictionary: ['\n', '\r', '\x1b[2J', '\x1b]0;t\x07', '\\x1b', '\\', '"', '\u2028', '\x9b', '\x7f', '\0', '{"event":"egress.decision"}', ' << 200 ', '/', 'a.test', 'a'.repeat(600), '\xed\xa0\x80', '%0a'], // prettier-ignore
  seeds: ['\0GET\na.test\n/x\na.test\n', '\x01POST\n[::1]:80\n/\x1b[31m\n\nno route', '\x02\n\n\nb.test\nreset'],
  maxBytes: 1_500,
  run,
};
