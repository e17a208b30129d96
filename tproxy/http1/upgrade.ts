import {isToken} from './chars.ts';

/** Whether every member is name[/version] and there is one (RFC 9110 §7.8). */
export function isProtocolList(protocols: readonly string[]): boolean {
  return protocols.length > 0 && protocols.every(isProtocol);
}

function isProtocol(protocol: string): boolean {
  const slash = protocol.indexOf('/');
  if (slash < 0) return isToken(protocol);
  return isToken(protocol.slice(0, slash)) && isToken(protocol.slice(slash + 1));
}
