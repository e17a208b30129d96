/**
 * A pod's proxy that speaks mTLS needs CAP_NET_RAW, for sockets with a peer's address, and Kubernetes gives capabilities to root
 * alone. So it is started as root, and becomes its own user with that one and no way to another before it does anything.
 */
import {accessSync, constants} from 'node:fs';
import {join} from 'node:path';
import {SallyportError} from '../runtime/errors.ts';
import {POD_PROXY_UID} from '../runtime/names.ts';
import {SYSTEM_FOLDERS} from './capture/commands.ts';

/** setpriv(1) and what it runs: groups are kept, since a pod's fsGroup lets read its volumes. */
export const becoming = (command: readonly string[]): string[] => [
  ...['setpriv', `--reuid=${POD_PROXY_UID}`, `--regid=${POD_PROXY_UID}`, '--keep-groups', '--no-new-privs'],
  ...['--inh-caps=-all,+net_raw', '--ambient-caps=-all,+net_raw', '--bounding-set=-all,+net_raw', '--', ...command],
];

/** Starts this program anew as that user, in this process. Throws SallyportError `ToolMissing`. */
export function becomeProxy(): never {
  const setpriv = setprivFile();
  process.execve!(setpriv, becoming([process.execPath, ...process.execArgv, ...process.argv.slice(1)]), process.env);
  // execve() does not come back, and ends the process where it fails.
  throw new Error('execve came back');
}

/** The image's own: it is run as root. Throws SallyportError `ToolMissing`. */
export function setprivFile(): string {
  for (const folder of SYSTEM_FOLDERS) {
    const file = join(folder, 'setpriv');
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      continue;
    }
  }
  throw new SallyportError('ToolMissing', 'setpriv is not installed', 'Install it: apt-get install util-linux.');
}
