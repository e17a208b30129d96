/** What a lab needs of the machine, and whether it is there. */
import {accessSync, constants, readFileSync} from 'node:fs';
import {delimiter, join} from 'node:path';

export type Privileges = {readonly ok: true} | {readonly ok: false; readonly missing: string};

const CAP_SYS_ADMIN = 21n;
const CAP_NET_ADMIN = 12n;
const TOOLS = ['ip', 'nft', 'conntrack'];

let known: Privileges | null = null;

/** Whether network namespaces can be made here; `missing` is a sentence for a printed skip. */
export function hasLabPrivileges(): Privileges {
  return (known ??= look());
}

let told = false;

/**
 * `test` where a lab can be made; else `test.skip` with the reason printed once, or, where CI says that everything is
 * there, an error.
 */
export function labTests<T extends {readonly skip: unknown}>(test: T): T {
  const privileges = hasLabPrivileges();
  if (privileges.ok) return test;
  if (process.env['CI'] !== undefined) throw new Error(`lab tests need ${privileges.missing}`);
  if (!told) console.log(`skip: lab tests need ${privileges.missing}`);
  told = true;
  return test.skip as T;
}

function look(): Privileges {
  if (process.platform !== 'linux') return {ok: false, missing: `Linux (this is ${process.platform})`};
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const capabilities = BigInt(`0x${effective}`);
  if ((capabilities & (1n << CAP_SYS_ADMIN)) === 0n) return {ok: false, missing: 'root (CAP_SYS_ADMIN)'};
  if ((capabilities & (1n << CAP_NET_ADMIN)) === 0n) return {ok: false, missing: 'root (CAP_NET_ADMIN)'};
  const absent = TOOLS.filter((tool) => !onPath(tool));
  if (absent.length > 0)
    return {ok: false, missing: `${absent.join(', ')} (Debian: apt-get install nftables iproute2 conntrack)`};
  return {ok: true};
}

function onPath(tool: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
