/** How log lines get into a descriptor: at once where that is to be had, so that a reader that stands still holds up nobody. */
import {constants, fstatSync, openSync, writeSync} from 'node:fs';
import {createRequire} from 'node:module';

/** Writes what the reader takes now; answers how many bytes that was. Throws with `code`: EAGAIN where it takes none. */
export type WriteAtOnce = (bytes: Buffer, at: number) => number;

/** null: a file or a terminal, where only another thread can wait for the write. */
export function atOnce(fd: number): WriteAtOnce | null {
  const status = fstatSync(fd);
  if (status.isFIFO()) return toPipe(fd);
  return status.isSocket() ? toSocket(fd) : null;
}

/** The same pipe opened once more: the non-blocking flag of `fd` itself is shared with whoever gave it to us, and with our children. */
function toPipe(fd: number): WriteAtOnce | null {
  let own: number;
  try {
    own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // No /proc, not ours to open, or its reader is gone: as it was given.
    return null;
  }
  return (bytes, at) => writeSync(own, bytes, at, untornBytes(bytes, at));
}

/** A write to a pipe that is no longer than this is never mixed with another process's (write(2), pipe(7)): all of it goes, or none. */
const PIPE_BUF = 4096;
const LINE_END = 0x0a;

/**
 * How much from `at` on may be written at once, so that the lines of processes that share a pipe stay whole: as many lines as
 * fit, or one that is longer than any that fits.
 */
export function untornBytes(bytes: Buffer, at: number): number {
  const left = bytes.length - at;
  if (left <= PIPE_BUF) return left;
  const last = bytes.lastIndexOf(LINE_END, at + PIPE_BUF - 1);
  if (last >= at) return last + 1 - at;
  const next = bytes.indexOf(LINE_END, at + PIPE_BUF);
  return next < 0 ? left : next + 1 - at;
}

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EAGAIN = 11;

/** A socket (journald's, for one) cannot be opened again, but it can be asked not to wait by each call. */
function toSocket(fd: number): WriteAtOnce {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const send = koffi.load('libc.so.6').func('intptr_t send(int, const void *, uintptr_t, int)') as (
    fd: number,
    bytes: Buffer,
    count: number,
    flags: number,
  ) => number;
  return (bytes, at) => {
    const sent = send(fd, at === 0 ? bytes : bytes.subarray(at), bytes.length - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    const errno = koffi.errno();
    throw Object.assign(new Error(`send: errno ${errno}`), {code: errno === EAGAIN ? 'EAGAIN' : `errno ${errno}`});
  };
}
