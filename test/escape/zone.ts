/** The names of the escape world, answered by a resolver outside. What a hostile zone would say is among them. */
import {decode, encode, AUTHORITATIVE_ANSWER, type Answer} from 'dns-packet';
import {METADATA, NODE_IP4, NODE_IP6, SITES} from './addresses.ts';

const NXDOMAIN = 3;

/** What each name under wild.test resolves to, whose rule allows any name there. */
const HOSTILE: Readonly<Record<string, {readonly A?: readonly string[]; readonly AAAA?: readonly string[]}>> = {
  metadata: {A: [METADATA]},
  node: {A: [NODE_IP4], AAAA: [NODE_IP6]},
  loopback: {A: ['127.0.0.1'], AAAA: ['::1']},
  unspecified: {A: ['0.0.0.0'], AAAA: ['::']},
  private: {A: ['10.200.0.1']},
  shared: {A: ['100.64.0.1']},
  linklocal: {A: ['169.254.1.1'], AAAA: ['fe80::1']},
  multicast: {A: ['224.0.0.1'], AAAA: ['ff02::1']},
  mapped: {AAAA: [`::ffff:${METADATA}`]},
  compatible: {AAAA: ['::a9fe:a9fe']},
  nat64: {AAAA: ['64:ff9b::a9fe:a9fe']},
  localnat64: {AAAA: ['64:ff9b:1::a9fe:a9fe']},
  sixtofour: {AAAA: ['2002:a9fe:a9fe::1']},
  // RFC 4380: the client's address is in the last four bytes, inverted.
  teredo: {AAAA: ['2001:0:cb00:7105:0:0:5601:5601']},
  awsv6: {AAAA: ['fd00:ec2::254']},
  azure: {A: ['168.63.129.16']},
  alibaba: {A: ['100.100.100.200']},
  service: {A: ['10.96.0.10']},
  peer: {A: ['10.77.0.12']},
};

/** The resolver; `hear` is told every question. */
export function createZone(): (query: Buffer) => Buffer | null {
  const asked = new Map<string, number>();
  return (query) => {
    let message;
    try {
      message = decode(query);
    } catch {
      return null;
    }
    const question = message.questions?.[0];
    if (message.type !== 'query' || question === undefined) return null;
    const name = question.name.toLowerCase();
    const times = (asked.get(`${name} ${question.type}`) ?? 0) + 1;
    asked.set(`${name} ${question.type}`, times);
    const found = addresses(name, times);
    const type = question.type;
    const answers: Answer[] =
      type === 'A' || type === 'AAAA'
        ? (found?.[type] ?? []).map((data) => ({type, name: question.name, ttl: 0, data}))
        : [];
    return encode({
      type: 'response',
      ...(message.id === undefined ? {} : {id: message.id}),
      flags: AUTHORITATIVE_ANSWER | (found === null ? NXDOMAIN : 0),
      questions: [question],
      answers,
    });
  };
}

function addresses(
  name: string,
  times: number,
): {readonly A?: readonly string[]; readonly AAAA?: readonly string[]} | null {
  const labels = name.split('.');
  const domain = labels.slice(-2).join('.');
  if (domain === 'wild.test') {
    const hostile = HOSTILE[labels[0]!];
    if (hostile !== undefined) return hostile;
    // Public when it is judged for the first time, the metadata server ever after.
    if (labels.includes('rebind')) return {A: [times === 1 ? SITES.evil : METADATA]};
    if (labels.includes('both')) return {A: [METADATA, SITES.wild]};
  }
  const site = SITES[labels.at(-2) as keyof typeof SITES];
  return labels.at(-1) === 'test' && site !== undefined ? {A: [site]} : null;
}
