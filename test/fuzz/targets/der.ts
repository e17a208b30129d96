/** DER elements, and names from certificates that others made. */
import {X509Certificate} from 'node:crypto';
import {der, readDer, readDerChildren} from '../../../pki/der.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';

const MAX_DEPTH = 20;

function run(input: Buffer): string {
  const first = readDer(input);
  if (first === null) return 'none';
  hold(first.end <= input.length && first.end > 1, `an element that ends at ${first.end}`);
  hold(first.raw.length === first.end, 'an element of another length');
  same('what follows an element changes it', shape(input.subarray(0, first.end), 0), shape(input, 0));
  return shape(input, 0)
    .replace(/[0-9a-f]+/g, 'x')
    .slice(0, 12);
}

/** The tags, depth first; an element written again from its parts reads as the same one. */
function shape(bytes: Buffer, depth: number): string {
  const element = readDer(bytes);
  if (element === null) return '!';
  const {tag, content} = element;
  const again = readDer(der(tag, content));
  hold(again !== null && again.tag === tag && again.content.equals(content), 'what is written is not read');
  if ((tag & 0x20) === 0 || depth === MAX_DEPTH) return tag.toString(16);
  const children = readDerChildren(content);
  if (children === null) return `${tag.toString(16)}?`;
  hold(
    children.reduce((sum, child) => sum + child.raw.length, 0) === content.length,
    'children with bytes between them',
  );
  return `${tag.toString(16)}(${children.slice(0, 6).map((child) => shape(child.raw, depth + 1)).join('')})`; // prettier-ignore
}

/** Any certificate will do as a beginning: Node carries many. */
const CERTIFICATE = (await import('node:tls')).rootCertificates.find((pem) => pem.length < 900)!;

export const DER: Target = {
  name: 'der',
  reads: 'DER elements',
  covers: ['/pki/der'],
  dictionary: ['\x30', '\x30\x80', '\x30\x82\x01\0', '\x02\x01\0', '\x04\x82', '\xa0\x03', '\x1f\x81', '\x84\xff\xff\xff\xff', '\x85\0\0\0\0\0', '\x06\x03\x55\x04\x03', '\0\0', '\x31'], // prettier-ignore
  seeds: [new X509Certificate(CERTIFICATE).raw, der(0x30, der(2, Buffer.from([1])), der(4, Buffer.alloc(200)))],
  maxBytes: 1_200,
  run,
};
