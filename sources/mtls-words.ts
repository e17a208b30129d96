/** What labels, annotations and files say about mTLS between pods: read once, the same for the webhook, the table and the node. Pure. */

/** `Strict` refuses plain, `Permissive` takes both while migrating, `Off` is left alone. */
export type MtlsMode = 'Strict' | 'Permissive' | 'Off';
export const MTLS_MODES = ['Strict', 'Permissive', 'Off'] as const satisfies readonly MtlsMode[];

/** More inbound ports than any pod leaves plain for probes and scrapes. */
export const MAX_PLAIN_PORTS = 16;

/** What a workload says of itself; absent: it says nothing. */
export interface MtlsWords {
  /** null: as the installation does it by default. */
  readonly mode: MtlsMode | null;
  readonly plainPorts: ReadonlySet<number>;
}

/** A word that does not exist is Strict: who wrote it wanted something, and the others would let plain through. */
export function mtlsModeOf(word: string): MtlsMode {
  return MTLS_MODES.find((mode) => mode === word) ?? 'Strict';
}

/** Of two the one that lets less through: a pod that started under one is not freed by the other. */
export function stricter(a: MtlsMode, b: MtlsMode): MtlsMode {
  return MTLS_MODES[Math.min(MTLS_MODES.indexOf(a), MTLS_MODES.indexOf(b))]!;
}

/** `9090, 8081`; null where one of them is no port, or there are too many. */
export function parsePlainPorts(text: string): ReadonlySet<number> | null {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const ports = new Set(parts.map((part) => (/^[1-9]\d{0,4}$/.test(part) ? Number(part) : 0)));
  if (ports.size > MAX_PLAIN_PORTS) return null;
  return [...ports].every((port) => port >= 1 && port <= 65_535) ? ports : null;
}
