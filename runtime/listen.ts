/** Listening addresses, and what an operator is told where listen(2) fails. */
import {isIP} from 'node:net';
import {SallyportError} from './errors.ts';

/** A listening address; `ip` null is every address of both families. */
export interface Listen {
  readonly ip: string | null;
  readonly port: number;
}

/** `127.0.0.1:8080`, `[::1]:8080`, `*:8080` or `:8080`. A wildcard of either family means both: a pod has both. */
export function parseListen(text: string, origin: string): Listen {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1');
  const port = Number(text.slice(colon + 1));
  const wildcard = host === '' || host === '*' || host === '0.0.0.0' || host === '::';
  if (colon < 0 || !/^\d{1,5}$/.test(text.slice(colon + 1)) || port > 65535 || (!wildcard && isIP(host) === 0))
    throw new SallyportError(
      'Usage',
      `${origin}: ${JSON.stringify(text)} is no ADDR:PORT`,
      'Write 127.0.0.1:15081, [::1]:15081 or *:15081.',
    );
  return {ip: wildcard ? null : host, port};
}

/** `ADDR[:PORT]` of a DNS resolver. */
export function parseResolver(text: string, origin: string): {ip: string; port: number} {
  if (isIP(text) !== 0) return {ip: text, port: 53};
  const {ip, port} = parseListen(text, origin);
  if (ip === null || port === 0)
    throw new SallyportError(
      'Usage',
      `${origin}: ${JSON.stringify(text)} names no resolver`,
      'Write one address: 10.96.0.10 or 10.96.0.10:53.',
    );
  return {ip, port};
}

export const listenText = ({ip, port}: Listen): string =>
  `${ip === null ? '*' : ip.includes(':') ? `[${ip}]` : ip}:${port}`;

/** The operator's message for a listen(2) that failed. */
export function cannotListen(flag: string, listen: Listen, error: NodeJS.ErrnoException): SallyportError {
  const where = `${listen.ip ?? '*'}:${listen.port}`;
  if (error.code === 'EADDRINUSE')
    return new SallyportError(
      'PortInUse',
      `${flag} ${where} is in use by another process`,
      `Stop it, or choose another port with ${flag}.`,
      {cause: error},
    );
  if (error.code === 'EADDRNOTAVAIL')
    return new SallyportError(
      'CannotListen',
      `${flag} ${where}: this machine has no such address`,
      `Give ${flag} an address of this machine, or *:${listen.port}.`,
      {cause: error},
    );
  if (error.code === 'EACCES')
    return new SallyportError(
      'CannotListen',
      `${flag} ${where}: no permission for a port below 1024`,
      'Give the process CAP_NET_BIND_SERVICE, or choose a higher port.',
      {cause: error},
    );
  return new SallyportError('CannotListen', `${flag} ${where}: ${error.message}`, '', {cause: error});
}
