/**
 * Writes leave at the end of the event loop's turn. What one turn read from many connections is worked off first, and then
 * written in a row: a peer that slept is woken once and not for each message, which costs the kernel as much as the message.
 */
export interface Pending {
  /** Write what is there; nothing, where it was written already or the socket is gone. Does not throw. */
  flush(): void;
}

let pending: Pending[] = [];

/** `flush` is called once at the end of this turn; ask once a turn. */
export function flushAtEndOfTurn(one: Pending): void {
  if (pending.push(one) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const all = pending;
  pending = [];
  for (const one of all) one.flush();
}
