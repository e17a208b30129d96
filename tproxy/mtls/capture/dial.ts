/** Dials in somebody's stead: under its address and its port, by a mark of their own (marks.ts). */
import {Socket} from 'node:net';
import type {Endpoint} from '../../../policy/index.ts';
import {SallyportError} from '../../../runtime/errors.ts';
import {bind, owning, setOption, socket, SYS, SystemCallError} from '../../capture/libc.ts';
import {familyOf, sockaddr} from '../../capture/sockaddr.ts';
import {missingCapability} from '../../capture/sockets.ts';
import {MTLS_MARK} from './marks.ts';

/** Connects by 'connect' or fails by 'error', half-open. Throws SallyportError where it cannot be made. */
export function dialAs(source: Endpoint, destination: Endpoint): Socket {
  return dialFrom(source, destination, MTLS_MARK);
}

/** `mark` null: none, for which CAP_NET_RAW is enough (ip(7), IP_TRANSPARENT). */
export function dialFrom(source: Endpoint, destination: Endpoint, mark: number | null): Socket {
  const client = new Socket({fd: bound(source, mark), allowHalfOpen: true});
  client.connect({host: destination.ip, port: destination.port});
  return client;
}

function bound({ip, port}: Endpoint, mark: number | null): number {
  const v4 = familyOf(ip) === 4;
  try {
    return owning(socket(v4 ? SYS.AF_INET : SYS.AF_INET6, SYS.SOCK_STREAM), (fd) => {
      if (v4) setOption(fd, SYS.SOL_IP, SYS.IP_TRANSPARENT, 1);
      else setOption(fd, SYS.SOL_IPV6, SYS.IPV6_TRANSPARENT, 1);
      if (mark !== null) setOption(fd, SYS.SOL_SOCKET, SYS.SO_MARK, mark);
      // One port towards many destinations: all four numbers together are what must not be taken.
      setOption(fd, SYS.SOL_SOCKET, SYS.SO_REUSEADDR, 1);
      if (port === 0) setOption(fd, SYS.SOL_IP, SYS.IP_BIND_ADDRESS_NO_PORT, 1);
      bind(fd, sockaddr(ip, port));
      return fd;
    });
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    if (cause.code === 'EPERM') throw missingCapability(mark === null ? 'CAP_NET_RAW' : 'CAP_NET_ADMIN', cause);
    throw new SallyportError('SocketFailed', `${ip}:${port}: ${cause.message}`, '', {cause});
  }
}
