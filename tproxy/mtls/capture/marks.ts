/** The mark and the conntrack zone of what mTLS dials. */
import {DEFAULT_MARKS, type Marks} from '../../capture/marks.ts';

/** On packets of our dials, the next value after the capture's own three. */
export const mtlsMark = ({dialled, taken}: Marks): number => (taken + 3 * (dialled - taken)) >>> 0;
export const MTLS_MARK = mtlsMark(DEFAULT_MARKS);

/**
 * Where conntrack keeps our dials: a captured connection and the one that we dial in its stead have the same four numbers, for the
 * program is to see its peer's address and port.
 */
export const MTLS_ZONE = 15082;
