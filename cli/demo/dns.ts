import {decode, encode, AUTHORITATIVE_ANSWER} from 'dns-packet';

/** Answers an A or AAAA query for the demo's names: their one IPv4 address, nothing for AAAA, NXDOMAIN for others; null for what is no query. */
export function answerQuery(message: Buffer, addressOf: (name: string) => string | undefined): Buffer | null {
  let query;
  try {
    query = decode(message);
  } catch {
    return null;
  }
  const question = query.questions?.[0];
  if (query.type !== 'query' || question === undefined) return null;
  const address = addressOf(question.name.toLowerCase());
  const NXDOMAIN = 3;
  return encode({
    type: 'response',
    ...(query.id === undefined ? {} : {id: query.id}),
    flags: AUTHORITATIVE_ANSWER | (address === undefined ? NXDOMAIN : 0),
    questions: [question],
    answers:
      address !== undefined && question.type === 'A' ? [{type: 'A', name: question.name, ttl: 5, data: address}] : [],
  });
}
