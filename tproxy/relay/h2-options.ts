/** What node:http2 and nghttp2 uphold for the sessions of clients: every option said, since the defaults leave holes. */
import type {ServerSessionOptions} from 'node:http2';
import type {RelayLimits} from './limits.ts';

/** @types/node lags behind Node 24: these are read by its options buffer (lib/internal/http2/util.js). */
interface SessionOptions extends ServerSessionOptions {
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
  readonly maxOutstandingSettings: number;
}

/** The options of a client's session under these limits. */
export function h2ServerOptions(limits: RelayLimits): SessionOptions {
  return {
    settings: {
      maxConcurrentStreams: limits.streamsPerConnection,
      maxHeaderListSize: limits.headerListBytes,
      // RFC 9113 §6.5.2's default, said: what a client may send on a stream without waiting for us.
      initialWindowSize: 65_535,
      // RFC 7541 §4.2: the table that a client may fill; the default, said. A bomb refers to its entries, and
      // maxHeaderListPairs and the list's size are counted after expansion.
      headerTableSize: 4_096,
      maxFrameSize: 16_384,
      // RFC 8441: WebSocket, and decide refuses all other protocols.
      enableConnectProtocol: true,
    },
    // Expanded header lines of one block, pseudo-headers included. nghttp2 itself ends a block of more than 8
    // CONTINUATION frames (CVE-2024-27316, -28182).
    maxHeaderListPairs: limits.headerLines,
    // Frames that are no use to anybody (empty DATA, CVE-2019-9518; bad ones) before the session ends. Default 1,000.
    maxSessionInvalidFrames: 32,
    // Streams that are refused before JavaScript sees them. Default 100.
    maxSessionRejectedStreams: 32,
    // Entries in one SETTINGS frame: there are 9 in the registry. Default 32.
    maxSettings: 32,
    // Pings and settings of our own that wait for an answer: we send one of each. Defaults 10.
    maxOutstandingPings: 2,
    maxOutstandingSettings: 2,
    // CVE-2023-44487 (rapid reset): a client that opens streams and resets them, so that none counts as open. client-h2.ts
    // ends the session earlier; this is the second line, for what it is told late. Default 1,000 and 33.
    streamResetBurst: 4 * limits.streamResetBurst,
    streamResetRate: 4 * limits.streamResetsPerSecond,
    // MiB that node:http2 may hold for one session, beyond which streams are refused: 128 streams with 64 KiB each. Default 10.
    maxSessionMemory: 8,
    // We write what we read: the encoder's table needs no more than the default.
    maxDeflateDynamicTableSize: 4_096,
  };
}
