/** Firewall marks: how the hooks of one packet's way through the node tell each other what was decided. */
import {TPROXY_MARK, TPROXY_MARK_MASK} from '../../runtime/names.ts';

export interface Marks {
  /** Handed to our listener, or a reply for our own socket: routed to this machine by the ip rule. */
  readonly taken: number;
  /** On packets and conntrack entries of connections that we dial with a pod's address. */
  readonly dialled: number;
  /** A pod's packet that the lock let pass; what reaches forward or input without it did not come that way. */
  readonly passed: number;
  /** Our bits; the others are somebody else's and kept. */
  readonly mask: number;
}

/** The three values next to each other under the mask. Throws RangeError where they do not fit in. */
export function marksFrom(taken: number, mask: number): Marks {
  const step = mask & -mask;
  const marks = {taken, dialled: (taken + step) >>> 0, passed: (taken + 2 * step) >>> 0, mask: mask >>> 0};
  for (const value of [marks.taken, marks.dialled, marks.passed])
    if (value === 0 || (value & ~mask) !== 0 || value > 0xffffffff)
      throw new RangeError(
        `the mark 0x${taken.toString(16)} and the two after it do not fit into 0x${marks.mask.toString(16)}`,
      );
  return marks;
}

export const DEFAULT_MARKS = marksFrom(TPROXY_MARK, TPROXY_MARK_MASK);

/** As nft prints a mark. */
export const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

export interface MarkTexts {
  readonly is: (value: number) => string;
  readonly isNot: (value: number) => string;
  readonly set: (value: number) => string;
  readonly clear: string;
}

/** How marks are compared and set: only our bits are looked at or changed. */
export function marking({marks}: {readonly marks: Marks}): MarkTexts {
  const rest = hex(~marks.mask >>> 0);
  return {
    is: (value) => `meta mark & ${hex(marks.mask)} == ${hex(value)}`,
    isNot: (value) => `meta mark & ${hex(marks.mask)} != ${hex(value)}`,
    set: (value) => `meta mark set meta mark & ${rest} | ${hex(value)}`,
    clear: `meta mark set meta mark & ${rest}`,
  };
}
