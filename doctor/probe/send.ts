/** Probes from inside a captured pod: its network namespace is found by its interface, and a child process sends from there. */
import {randomInt} from 'node:crypto';
import {fileURLToPath} from 'node:url';
import type {Commands} from '../../tproxy/capture/commands.ts';
import type {PlacedMember} from '../../tproxy/capture/config.ts';
import {SallyportError} from '../../runtime/errors.ts';

export interface ProbeTarget {
  readonly family: 4 | 6;
  readonly ip: string;
  readonly port: number;
  readonly datagrams: number;
}

export interface ProbeResult {
  readonly family: 4 | 6;
  /** Datagrams that left the socket. */
  readonly sent: number;
  /** The kernel's refusal of the datagrams (EHOSTUNREACH, EACCES); null: none came. */
  readonly udp: string | null;
  /** `connected`, or the error. */
  readonly tcp: string;
}

interface Link {
  readonly ifname: string;
  readonly link_netnsid?: number;
}

/** RFC 5737 and RFC 3849: documentation addresses, nobody's. The host differs each time, since ICMP errors are limited for each. */
const DOCUMENTATION = {4: '192.0.2.', 6: '2001:db8::'} as const;
const MAX_HOST = 250;
/** TCP's and UDP's "discard": where it does get out, nobody takes offence. */
const DISCARD_PORT = 9;
/** So many that others' packets in that moment are not taken for ours. */
const DATAGRAMS = 5;

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const PROGRAM = fileURLToPath(new URL(`./from-pod.${extension}`, import.meta.url));

/**
 * Where the pod at this interface is: a file that setns(2) takes; null: it has no namespace of its own that can be found
 * (no veth, or its process is not visible from here).
 */
export async function namespaceBehind(commands: Commands, interfaceName: string): Promise<string | null> {
  const shown = await commands.run(['ip', '-j', 'link', 'show', 'dev', interfaceName]);
  if (shown.status !== 0) return null;
  const id = (JSON.parse(shown.stdout) as Link[])[0]?.link_netnsid;
  if (id === undefined) return null;
  const named = await commands.run(['ip', '-j', 'netns', 'list-id']);
  const entries = named.status === 0 ? (JSON.parse(named.stdout || '[]') as {nsid: number; name?: string}[]) : [];
  const name = entries.find(({nsid}) => nsid === id)?.name;
  if (name !== undefined) return `/run/netns/${name}`;
  const listed = await commands.run(['lsns', '-t', 'net', '-J', '-o', 'PID,NETNSID']);
  if (listed.status !== 0) return null;
  const {namespaces = []} = JSON.parse(listed.stdout || '{}') as {namespaces?: {pid: number; netnsid: string}[]};
  const process = namespaces.find(({netnsid}) => netnsid === String(id));
  return process === undefined ? null : `/proc/${process.pid}/ns/net`;
}

/** Sends from there, for each family that the pod has. Throws SallyportError `CannotProbe` where we may not go there. */
export async function sendProbes(
  commands: Commands,
  namespace: string,
  members: readonly PlacedMember[],
): Promise<ProbeResult[]> {
  const families = new Set(members.map(({ip}): 4 | 6 => (ip.includes(':') ? 6 : 4)));
  const host = randomInt(1, MAX_HOST);
  const targets = [...families].map((family): ProbeTarget => ({
    family,
    ip: `${DOCUMENTATION[family]}${family === 4 ? host : host.toString(16)}`,
    port: DISCARD_PORT,
    datagrams: DATAGRAMS,
  }));
  const ran = await commands.run([
    ...(['nsenter', `--net=${namespace}`, process.execPath, '--disable-warning=ExperimentalWarning'] as const),
    ...[PROGRAM, JSON.stringify(targets)],
  ]);
  if (ran.status !== 0)
    throw new SallyportError(
      'CannotProbe',
      `cannot enter the pod's network namespace: ${ran.stderr.trim().split('\n').at(-1) ?? ''}`,
      'Run doctor as root on the node, or use "sallyport guard" in the pod.',
    );
  return JSON.parse(ran.stdout) as ProbeResult[];
}
