/** What an extended CONNECT lacks of an HTTP/1 upgrade (RFC 8441 §5.1). */
import {randomBytes} from 'node:crypto';

/** A Sec-WebSocket-Key: 16 random bytes (RFC 6455 §4.1). */
export const websocketKey = (): string => randomBytes(16).toString('base64');
