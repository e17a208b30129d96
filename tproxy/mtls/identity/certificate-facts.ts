/**
 * What a certificate says of itself, read from its DER (RFC 5280): names as text (`X509Certificate.subjectAltName`) can be made to
 * look like others, and OpenSSL's checks do not say "one URI and nothing else". Pure.
 */
import {readDer, readDerChildren, TAG, type DerElement} from '../../../pki/der.ts';

export interface CertificateFacts {
  /** Every name of the subjectAltName, in order; `kind` is GeneralName's tag number (6: URI). */
  readonly names: readonly {readonly kind: number; readonly text: string}[];
  readonly isCa: boolean;
  /** Infinity: not said. */
  readonly pathLength: number;
  /** The bits of keyUsage, RFC 5280's bit 0 the highest of the first byte; null: not said. */
  readonly keyUsage: number | null;
  /** DER contents as hex; null: not said. */
  readonly extKeyUsage: readonly string[] | null;
  readonly subjectIsEmpty: boolean;
  /** Subtrees of nameConstraints; null: none. */
  readonly constraints: Constraints | null;
}

export interface Constraints {
  readonly permitted: readonly Subtree[];
  readonly excluded: readonly Subtree[];
}

export interface Subtree {
  /** GeneralName's tag number; 6: URI, whose text is a host, or with a leading dot what is below it. */
  readonly kind: number;
  readonly text: string;
}

export const KEY_USAGE = {digitalSignature: 0x80, keyCertSign: 0x04, crlSign: 0x02} as const;
export const URI_NAME = 6;
export const DIRECTORY_NAME = 4;
/** id-kp-serverAuth and id-kp-clientAuth, as hex of their contents. */
export const EXT_KEY_USAGE = {serverAuth: '2b06010505070301', clientAuth: '2b06010505070302'} as const;

const OID = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  nameConstraints: '551d1e',
  extKeyUsage: '551d25',
} as const;

/** null where it is not the structure of a v3 certificate, says one thing twice, or says something critical that we do not know. */
export function certificateFacts(raw: Buffer): CertificateFacts | null {
  const certificate = whole(raw, TAG.sequence);
  const tbs = certificate && readDerChildren(certificate.content)?.[0];
  const fields = tbs && readDerChildren(tbs.content);
  if (!fields || fields[0]?.tag !== 0xa0 || fields[5]?.tag !== TAG.sequence) return null;
  const extensions = readExtensions(fields.find(({tag}) => tag === 0xa3));
  if (extensions === null) return null;
  const names = readNames(extensions.get(OID.subjectAltName));
  const basic = readBasic(extensions.get(OID.basicConstraints));
  const keyUsage = readKeyUsage(extensions.get(OID.keyUsage));
  const extKeyUsage = readPurposes(extensions.get(OID.extKeyUsage));
  const constraints = readConstraints(extensions.get(OID.nameConstraints));
  if (names === 'bad' || basic === 'bad' || keyUsage === 'bad' || extKeyUsage === 'bad' || constraints === 'bad')
    return null;
  return {names, ...basic, keyUsage, extKeyUsage, constraints, subjectIsEmpty: fields[5].content.length === 0};
}

/** One element that fills the bytes. */
function whole(bytes: Buffer, tag: number): DerElement | null {
  const element = readDer(bytes);
  return element !== null && element.tag === tag && element.end === bytes.length ? element : null;
}

const KNOWN: readonly string[] = Object.values(OID);

function readExtensions(field: DerElement | undefined): Map<string, Buffer> | null {
  const found = new Map<string, Buffer>();
  if (field === undefined) return found;
  const list = whole(field.content, TAG.sequence);
  for (const entry of (list && readDerChildren(list.content)) ?? [null]) {
    const parts = entry?.tag === TAG.sequence ? readDerChildren(entry.content) : null;
    if (parts === null || parts.length < 2 || parts.length > 3) return null;
    const [type, value] = [parts[0]!, parts.at(-1)!];
    if (type.tag !== TAG.oid || value.tag !== TAG.octetString) return null;
    if (parts.length === 3 && parts[1]!.tag !== TAG.boolean) return null;
    const critical = parts.length === 3 && parts[1]!.content[0] !== 0;
    const id = type.content.toString('hex');
    // RFC 5280 §4.2: not twice; and what is critical and unknown is a reason to refuse.
    if (found.has(id) || (critical && !KNOWN.includes(id))) return null;
    found.set(id, value.content);
  }
  return found;
}

function readNames(value: Buffer | undefined): CertificateFacts['names'] | 'bad' {
  if (value === undefined) return [];
  const list = whole(value, TAG.sequence);
  const names = list && readDerChildren(list.content);
  return names?.map(({tag, content}) => ({kind: tag & 0x1f, text: content.toString('latin1')})) ?? 'bad';
}

function readBasic(value: Buffer | undefined): {isCa: boolean; pathLength: number} | 'bad' {
  if (value === undefined) return {isCa: false, pathLength: Infinity};
  const list = whole(value, TAG.sequence);
  const parts = list && readDerChildren(list.content);
  if (!parts) return 'bad';
  const length = parts.find(({tag}) => tag === TAG.integer);
  if (length !== undefined && (length.content.length === 0 || length.content.length > 4)) return 'bad';
  return {
    isCa: parts.some(({tag, content}) => tag === TAG.boolean && content[0] !== 0),
    pathLength: length === undefined ? Infinity : length.content.readUIntBE(0, length.content.length),
  };
}

function readKeyUsage(value: Buffer | undefined): number | null | 'bad' {
  if (value === undefined) return null;
  const bits = whole(value, TAG.bitString);
  return bits === null || bits.content.length < 2 ? 'bad' : bits.content[1]!;
}

function readPurposes(value: Buffer | undefined): readonly string[] | null | 'bad' {
  if (value === undefined) return null;
  const list = whole(value, TAG.sequence);
  return (list && readDerChildren(list.content))?.map(({content}) => content.toString('hex')) ?? 'bad';
}

function readConstraints(value: Buffer | undefined): Constraints | null | 'bad' {
  if (value === undefined) return null;
  const list = whole(value, TAG.sequence);
  const parts = list && readDerChildren(list.content);
  if (!parts) return 'bad';
  const subtrees = (tag: number): Subtree[] | null => {
    const part = parts.find((one) => one.tag === tag);
    const trees = part === undefined ? [] : readDerChildren(part.content);
    const bases = trees?.map((tree) => readDerChildren(tree.content)?.[0]) ?? null;
    if (bases === null || bases.some((base) => base === undefined)) return null;
    return bases.map((base) => ({kind: base!.tag & 0x1f, text: base!.content.toString('latin1')}));
  };
  const [permitted, excluded] = [subtrees(0xa0), subtrees(0xa1)];
  return permitted === null || excluded === null ? 'bad' : {permitted, excluded};
}
