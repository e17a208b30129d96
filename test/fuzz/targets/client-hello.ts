/** The ClientHello reader, against a second one that looks for nothing but the name. */
import {createClientHelloReader} from '../../../pki/client-hello.ts';
import type {ClientHelloResult} from '../../../pki/client-hello.ts';
import {alpn, hello, helloMessage, records, serverName, versions} from '../../../pki/testing/hello.ts';
import {cutsOf} from '../random.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

function read(pieces: readonly Buffer[]): ClientHelloResult {
  const reader = createClientHelloReader();
  let result: ClientHelloResult = {kind: 'more'};
  for (const piece of pieces) {
    result = reader.push(piece);
    if (result.kind !== 'more') break;
  }
  // What was settled is not unsettled by what comes after it.
  if (result.kind !== 'more') same('after the end', result, reader.push(Buffer.from('more')));
  return result;
}

function run(input: Buffer): string {
  const [whole, ...others] = cutsOf(input);
  const result = read(whole!);
  for (const pieces of others) same('how the bytes are cut changes what is read', result, read(pieces));
  if (result.kind === 'more') return 'more';
  if (result.kind === 'bad') {
    // The message is a sentence of ours: nothing of what was sent stands in it raw.
    hold(/^[ -~]*$/.test(result.message), 'raw bytes in a message');
    return result.code;
  }
  const {hello: seen, length} = result;
  hold(length <= input.length, `${length} bytes were read of ${input.length}`);
  same('what follows the hello changes it', result, read([input.subarray(0, length)]));
  same('a hello that is not whole', {kind: 'more'}, read([input.subarray(0, length - 1)]));
  same('another reader sees another name', seen.sni, naiveName(input.subarray(0, length)));
  return `${seen.sni === null ? '-' : 'sni'} ${seen.alpn.length > 0 ? 'alpn' : '-'} ${seen.ech} ${seen.versions.length > 0} ${seen.earlyData} ${seen.resumes}`; // prettier-ignore
}

/** The name as a reader finds it that checks nothing: records put together, fields skipped by their lengths. */
function naiveName(bytes: Buffer): string | null {
  const fragments: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3))
    fragments.push(bytes.subarray(at + 5, at + 5 + bytes.readUInt16BE(at + 3)));
  const body = Buffer.concat(fragments);
  let at = 4 + 2 + 32;
  at += 1 + body[at]!;
  at += 2 + body.readUInt16BE(at);
  at += 1 + body[at]!;
  if (at >= body.length) return null;
  for (at += 2; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
    if (body.readUInt16BE(at) !== 0) continue;
    // server_name_list length, name_type, name length
    const name = at + 4 + 2 + 1 + 2;
    return body.toString('latin1', name, name + body.readUInt16BE(name - 2));
  }
  return null;
}

const LATIN1 = (bytes: Buffer): string => bytes.toString('latin1');

export const CLIENT_HELLO: Target = {
  name: 'client-hello',
  reads: 'the first TLS message of a client',
  covers: ['/pki/client-hello', '/pki/hello-body'],
  dictionary: [
    '\x16\x03\x01', '\x16\x03\x03\0', '\x01\0\0', '\x03\x03', '\x13\x01', '\0\0\0\x0b\0\x09\0\0\x06a.test', '\0\x10\0\x05\0\x03\x02h2', '\0\x2b\0\x03\x02\x03\x04', '\0\x29', '\0\x2a\0\0', '\0\x23\0\0',
    '\xfe\x0d\0\0', '\xff\xce\0\0', '\xfd\0\0\0', '\xfe\x08\0\0', '\x0a\x0a\0\0', '\x80\x2e\x01\x03\x01', '\x15\x03\x01\0\x02\x01\0', '\0', '\xff\xff', '\0\0', '.', 'A', 'xn--', '*', '127.0.0.1', '::1',
  ], // prettier-ignore
  seeds: [
    hello(),
    hello({extensions: [serverName('b.test'), alpn('h2', 'http/1.1'), versions(0x0304, 0x0303)]}),
    hello({extensions: null}),
    hello({extensions: [[0xfe0d, Buffer.from([0])], serverName('outer.test'), [0x0a0a, Buffer.alloc(0)]]}),
    hello({extensions: [serverName('c.test'), [42, Buffer.alloc(0)], [35, Buffer.from('ticket')]], sessionId: Buffer.alloc(32, 1)}), // prettier-ignore
    records(helloMessage({extensions: [serverName('split.test')]}), 3, 20, 1),
    LATIN1(Buffer.concat([hello(), Buffer.from('\x16\x03\x03\0\x01x', 'latin1')])),
  ],
  maxBytes: 1_000,
  run,
};
