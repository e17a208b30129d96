/** The flags of `sallyport tproxy --mtls`, and what they mean once checked. */
import {parseCidr, type Cidr} from '../../policy/index.ts';
import {isTrustDomain} from '../../pki/index.ts';
import {SallyportError} from '../../runtime/errors.ts';
import {oneOf, type FlagTable, type Settings} from '../../runtime/flags.ts';
import {PORTS} from '../../runtime/names.ts';
import {MTLS_MODES, type MtlsMode} from '../../sources/mtls-words.ts';

export const MTLS_FLAGS = {
  mtls: {
    kind: 'switch',
    help: 'Wraps and unwraps TCP between enrolled pods (docs/MTLS.md). Needs --capture node, or pod.',
  },
  'mtls-identity': {
    kind: 'text',
    value: 'DIR',
    help: 'tls.key, tls.crt and ca.crt of the one ServiceAccount whose pods are here.',
  },
  'mtls-issuer': {kind: 'text', value: 'HOST:PORT', help: "The controller's issuer, instead of --mtls-identity."},
  'mtls-issuer-ca': {kind: 'text', value: 'FILE', help: 'PEM: by what the issuer is known.'},
  'mtls-token': {kind: 'text', value: 'FILE', help: 'The projected token that the issuer is shown.'},
  'mtls-trust-domain': {kind: 'text', value: 'D', help: 'Of SPIFFE ids. Default: --cluster-domain.'},
  'mtls-mode': {
    kind: 'text',
    value: 'Strict|Permissive|Off',
    help: 'Of pods that say nothing, and whose address is in no --mtls-cidr. Default: Off.',
  },
  'mtls-cidr': {
    kind: 'list',
    value: 'CIDR=MODE',
    help: 'The mode of addresses whose pods say nothing. In a Strict one an address that nobody is known to have gets nothing.',
  },
  'mtls-peers': {
    kind: 'text',
    value: 'FILE',
    help: 'With --policy: a workload table of the pods of other nodes, YAML, watched.',
  },
} as const satisfies FlagTable;

export interface MtlsConfig {
  readonly identity:
    | {readonly kind: 'files'; readonly dir: string}
    | {
        readonly kind: 'issued';
        readonly host: string;
        readonly port: number;
        readonly caFile: string;
        readonly tokenFile: string;
      };
  readonly trustDomain: string;
  readonly defaultMode: MtlsMode;
  readonly cidrs: readonly {readonly text: string; readonly cidr: Cidr; readonly mode: MtlsMode}[];
  /** null: the pods of the cluster, or nobody else. */
  readonly peersFile: string | null;
}

type Raw = Settings<typeof MTLS_FLAGS>;
type At = (name: keyof typeof MTLS_FLAGS) => string;

/** null: without --mtls. Throws SallyportError `Usage`. */
export function mtlsOf(
  settings: Raw,
  at: At,
  {capture, clusterDomain, files}: {capture: string; clusterDomain: string; files: boolean},
): MtlsConfig | null {
  if (!settings.mtls) {
    for (const name of Object.keys(MTLS_FLAGS) as (keyof Raw)[]) {
      const value = settings[name];
      if (name !== 'mtls' && value !== null && value !== false && (!Array.isArray(value) || value.length > 0))
        throw usage(`${at(name)} without --mtls`, 'Write --mtls too, or leave it out.');
    }
    return null;
  }
  if (capture === 'none')
    throw usage(
      `${at('mtls')} with --capture ${capture}: without rules of the kernel nobody hands connections between pods over`,
      'Write --capture node, or pod.',
    );
  const trustDomain = settings['mtls-trust-domain'] ?? clusterDomain;
  if (!isTrustDomain(trustDomain))
    throw usage(
      `${at('mtls-trust-domain')}: ${JSON.stringify(trustDomain)} is no DNS name in lower case`,
      'Write cluster.local.',
    );
  const peersFile = settings['mtls-peers'];
  if (peersFile !== null && !files)
    throw usage(`${at('mtls-peers')} without --policy: the cluster says who is who`, 'Leave --mtls-peers out.');
  return {
    identity: identityOf(settings, at),
    trustDomain,
    defaultMode: oneOf(settings['mtls-mode'] ?? 'Off', MTLS_MODES, at('mtls-mode')),
    cidrs: settings['mtls-cidr'].map((text) => cidrOf(text, at('mtls-cidr'))),
    peersFile,
  };
}

function identityOf(settings: Raw, at: At): MtlsConfig['identity'] {
  const {'mtls-identity': dir, 'mtls-issuer': issuer, 'mtls-issuer-ca': caFile, 'mtls-token': tokenFile} = settings;
  if ((dir === null) === (issuer === null))
    throw usage(
      dir === null
        ? '--mtls without an identity'
        : `${at('mtls-identity')} and ${at('mtls-issuer')}: two that say who we are`,
      'Give --mtls-identity DIR, or --mtls-issuer HOST:PORT with --mtls-issuer-ca and --mtls-token.',
    );
  if (dir !== null) return {kind: 'files', dir};
  const [, host, port] = /^(?:\[([^\]]+)\]|[^:[\]]+):(\d{1,5})$/.exec(issuer!) === null ? [] : split(issuer!);
  if (host === undefined || port === undefined || Number(port) < 1 || Number(port) > 65_535)
    throw usage(
      `${at('mtls-issuer')}: ${JSON.stringify(issuer)} is no HOST:PORT`,
      `Write sallyport-issuer.sallyport.svc:${PORTS.issuer}.`,
    );
  if (caFile === null || tokenFile === null)
    throw usage(
      `${at('mtls-issuer')} without --mtls-${caFile === null ? 'issuer-ca' : 'token'}`,
      'Give --mtls-issuer-ca FILE and --mtls-token FILE.',
    );
  return {kind: 'issued', host, port: Number(port), caFile, tokenFile};
}

function split(text: string): [string, string, string] {
  const colon = text.lastIndexOf(':');
  return [text, text.slice(0, colon).replace(/^\[|\]$/g, ''), text.slice(colon + 1)];
}

/** `CIDR=MODE`. Throws SallyportError `Usage`. */
export function cidrOf(text: string, origin: string): MtlsConfig['cidrs'][number] {
  const equals = text.indexOf('=');
  const [range, word] = equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
  const cidr = parseCidr(range);
  const mode = MTLS_MODES.find((one) => one === word);
  if (cidr === null || mode === undefined)
    throw usage(
      `${origin}: ${JSON.stringify(text)} is no CIDR=MODE`,
      'Write 10.244.0.0/16=Permissive; modes are Strict, Permissive and Off.',
    );
  return {text: range, cidr, mode};
}

const usage = (message: string, fix: string): SallyportError => new SallyportError('Usage', message, fix);
