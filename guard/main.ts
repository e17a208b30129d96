/** `sallyport guard`: the first init container of a captured pod. Ends with 0 when the capture is proved, else with 1. */
import {readFileSync, writeFileSync} from 'node:fs';
import {createSecureContext, type SecureContext} from 'node:tls';
import {EXIT, SallyportError} from '../runtime/errors.ts';
import {helpText} from '../runtime/flags.ts';
import type {Out} from '../runtime/output.ts';
import {parseCertificates} from '../runtime/pem.ts';
import {dataplaneOf} from './dataplane.ts';
import {examine, type Passed} from './examine.ts';
import {describe, type Finding} from './findings.ts';
import {GUARD_FLAGS, guardConfig, type GuardConfig} from './settings.ts';
import {lookAround} from './surroundings.ts';

/** Between two examinations: a pod is in the sets a few milliseconds after its address is known. */
const AGAIN_MS = 100;
/** The kubelet keeps 4096 bytes of a termination message. */
const MAX_TERMINATION_BYTES = 4000;

/** The result is the exit code. Throws SallyportError for wrong use and for what cannot be read. */
export async function guard(argv: readonly string[], out: Out): Promise<number> {
  if (argv.includes('--help')) {
    out.stdout(helpText('guard', 'proves from inside a pod that its traffic is captured', GUARD_FLAGS));
    return EXIT.ok;
  }
  const config = guardConfig(argv, process.env);
  const result = await keepExamining(config, out);
  if ('passed' in result) {
    out.stdout(`${passedText(result.passed)}\n`);
    return EXIT.ok;
  }
  const message = `${describe(result.finding, circumstances(config))} Looked for ${config.timeoutMs / 1000} s.`;
  out.stderr(`sallyport guard: ${message}\n`);
  leaveWord(config.terminationLog, message);
  return EXIT.finding;
}

/** Until it passes or the time is up; each new finding is said once. */
async function keepExamining(
  config: GuardConfig,
  out: Out,
): Promise<{readonly passed: Passed} | {readonly finding: Finding}> {
  const started = performance.now();
  let said = '';
  let context = contextOf(config.caFile);
  for (;;) {
    const result = await examine({...config, context}, lookAround());
    if ('passed' in result || performance.now() - started >= config.timeoutMs) return result;
    const kind = `${result.finding.kind} ${'what' in result.finding ? result.finding.what : ''}`;
    if (kind !== said) out.stderr(`sallyport guard: not yet: ${describe(result.finding, circumstances(config))}\n`);
    said = kind;
    context = laterContext(config.caFile, context);
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

function circumstances({nodeName}: GuardConfig): {node: string | null; dataplane: string | null} {
  return {node: nodeName, dataplane: dataplaneOf(lookAround(), readIfThere('/proc/net/arp'))};
}

/** Only our CA's certificates: no public CA has a say in this. */
function contextOf(file: string): SecureContext {
  let pem: string;
  try {
    pem = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SallyportError(
      'CaUnreadable',
      `--ca ${file}: ${(cause as Error).message}`,
      'Mount the ConfigMap sallyport-trust there; the controller keeps it in namespaces labelled sallyport.dev/injection: enabled.',
      {cause},
    );
  }
  parseCertificates(pem, `--ca ${file}`);
  return createSecureContext({ca: pem, minVersion: 'TLSv1.3'});
}

function passedText({proofs, families, untried}: Passed): string {
  const {pod, node, hold, version} = proofs[0]!;
  const how = hold === 'locked' ? 'captured and locked' : 'captured; not locked, since only Audit policies select it';
  const rest = untried.length === 0 ? '' : `; not tried: ${untried.join(', ')}`;
  return `${pod.namespace}/${pod.name} is ${how}, by Sallyport ${version} on ${node}, over IPv${families.join(' and IPv')}${rest}`;
}

function leaveWord(file: string, message: string): void {
  try {
    // It is there where a kubelet made it; elsewhere nobody would read it.
    writeFileSync(file, message.slice(0, MAX_TERMINATION_BYTES), {flag: 'r+'});
  } catch {
    // Standard error has said it too.
  }
}

/** The kubelet brings a new bundle while we wait, when the CA was made or changed a moment ago. */
function laterContext(file: string, before: SecureContext): SecureContext {
  try {
    return contextOf(file);
  } catch {
    return before;
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
