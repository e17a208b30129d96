/** The mark and the conntrack zone of what mTLS dials. */
import {DEFAULT_MARKS, type Marks} from '../../capture/marks.ts';

/** The values after the capture's own three. */
const after = ({dialled, taken}: Marks, steps: number): number => (taken + (2 + steps) * (dialled - taken)) >>> 0;

/** On packets of our dials. */
export const mtlsMark = (marks: Marks): number => after(marks, 1);
export const MTLS_MARK = mtlsMark(DEFAULT_MARKS);

/** On packets of what the relay dials for a pod, not wrapped, under the node's own address: nothing else says for whom it was. */
export const asNodeMark = (marks: Marks, client: 'strict' | 'other'): number =>
  after(marks, client === 'strict' ? 2 : 3);

/**
 * Where conntrack keeps our dials: a captured connection and the one that we dial in its stead have the same four numbers, for the
 * program is to see its peer's address and port.
 */
export const MTLS_ZONE = 15082;
