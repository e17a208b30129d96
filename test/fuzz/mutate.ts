/** Changes inputs: bytes, stretches, words of the language, and pieces of other inputs. */
import type {Random} from './random.ts';

/** Bytes that parsers care about, whatever they parse. */
const INTERESTING = [
  ...Buffer.from('\0\t\n\v\f\r !"#%&\'()*+,-./0159:;<=>?@AFZ[\\]^_`afxz{|}~\x7f\x80\x85\xa0\xff', 'latin1'),
];
/** Lengths that overflow something somewhere. */
const NUMBERS = ['0', '1', '-1', '00', '+1', '7fffffff', 'ffffffff', '100000000', '2147483648', '4294967296', '9007199254740993', '18446744073709551616', '0x10', '1e3'] as const; // prettier-ignore
/** So many changes at most in one step; most inputs get one or two. */
const MAX_CHANGES = 8;

export interface Material {
  readonly dictionary: readonly Buffer[];
  /** Another input of the corpus. */
  readonly other: () => Buffer;
  readonly maxBytes: number;
}

/** A changed copy of `input`. */
export function mutate(input: Buffer, random: Random, material: Material): Buffer {
  let bytes = input;
  let changes = 1;
  while (changes < MAX_CHANGES && random.chance(2)) changes++;
  for (let i = 0; i < changes; i++) bytes = change(bytes, random, material);
  return bytes.length > material.maxBytes ? bytes.subarray(0, material.maxBytes) : bytes;
}

function change(bytes: Buffer, random: Random, {dictionary, other}: Material): Buffer {
  const at = random.below(bytes.length + 1);
  switch (random.below(13)) {
    case 0:
      return put(bytes, at, 1, Buffer.of((bytes[at] ?? 0) ^ (1 << random.below(8))));
    case 1:
      return put(bytes, at, 1, Buffer.of(random.below(256)));
    case 2:
      return put(bytes, at, random.below(2), Buffer.of(random.pick(INTERESTING)));
    case 3:
      return put(bytes, at, 1 + random.below(4), EMPTY);
    case 4: {
      // A stretch, taken out or said twice.
      const stretch = bytes.subarray(at, at + 1 + random.below(64));
      return put(bytes, at, random.chance(2) ? stretch.length : 0, random.chance(2) ? stretch : EMPTY);
    }
    case 5:
    case 6:
    case 7:
      return put(bytes, at, random.chance(3) ? random.below(24) : 0, random.pick(dictionary));
    case 8:
      return put(bytes, at, random.below(12), Buffer.from(random.pick(NUMBERS)));
    case 9: {
      const donor = other();
      const from = random.below(donor.length + 1);
      return put(bytes, at, random.below(32), donor.subarray(from, from + 1 + random.below(128)));
    }
    case 10: {
      // The begin of this one and the end of another.
      const donor = other();
      return Buffer.concat([bytes.subarray(0, at), donor.subarray(random.below(donor.length + 1))]);
    }
    case 11:
      return lines(bytes, random);
    default:
      return Buffer.concat([bytes, bytes.subarray(at)]);
  }
}

/** Whole lines moved, doubled, or dropped: the grain at which most text formats go wrong. */
function lines(bytes: Buffer, random: Random): Buffer {
  const parts = bytes.toString('latin1').split('\n');
  const at = random.below(parts.length);
  const [line] = parts.splice(at, 1);
  const to = random.below(parts.length + 1);
  if (!random.chance(3)) parts.splice(to, 0, line!);
  if (random.chance(3)) parts.splice(random.below(parts.length + 1), 0, line!);
  return Buffer.from(parts.join('\n'), 'latin1');
}

const EMPTY = Buffer.alloc(0);

function put(bytes: Buffer, at: number, remove: number, insert: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(Math.min(bytes.length, at + remove))]);
}
