/** `httpProxyEnvs` of an operator's Istio resource: the same three words that the injector's configuration has. */
import {parseAllDocuments, stringify} from 'yaml';
import {readInstallation} from '../injector/settings.ts';
import {formatFinding, type Finding} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';

/** Resources of Istio operators that have it under spec. */
const KINDS = ['Istio', 'IstioControlPlane'] as const;

interface Resource {
  readonly kind?: unknown;
  readonly spec?: {readonly httpProxyEnvs?: unknown};
}

/** `config`: a configuration file of `sallyport injector`; `values`: values of our chart. */
export type InjectorOutput = 'config' | 'values';

/**
 * The injector's settings of the one Istio resource in a text. Throws SallyportError `NoHttpProxyEnvs` where there is none,
 * `BadHttpProxyEnvs` with what the injector would say to it (a URL that is none, credentials in it, a field that it does not know).
 */
export function injectorSettings(file: string, text: string, output: InjectorOutput): string {
  const documents = parseAllDocuments(text);
  const broken = documents.flatMap(({errors}) => errors)[0];
  if (broken !== undefined) throw bad(`${file}: ${broken.message.split('\n')[0]}`, 'Correct the YAML.');
  const found = documents
    .map((document) => document.toJS() as Resource | null)
    .filter(
      (one): one is Resource => KINDS.some((kind) => kind === one?.kind) && one?.spec?.httpProxyEnvs !== undefined,
    );
  const [istio = null, second] = found;
  if (istio === null)
    throw new SallyportError(
      'NoHttpProxyEnvs',
      `${file}: no ${KINDS.join(' or ')} with spec.httpProxyEnvs`,
      'Give the resource that an Istio operator reads.',
    );
  if (second !== undefined) throw bad(`${file}: two of them`, 'Give one file for each control plane.');
  const settings = {httpProxyEnvs: istio.spec!.httpProxyEnvs};
  const config = written(settings);
  const findings = readInstallation(file, config, new Map()).findings.filter(({severity}) => severity === 'error');
  if (findings.length > 0) throw bad(findings.map(said).join('\n'), 'Correct it there.');
  return output === 'config' ? config : written({injector: settings});
}

const written = (value: object): string => stringify(value, {lineWidth: 0, compat: 'yaml-1.1'});
/** Its place is in what we made of the file, and would mislead. */
const said = (finding: Finding): string => formatFinding(finding).replace(/:\d+:\d+:/, ':');
const bad = (message: string, fix: string): SallyportError => new SallyportError('BadHttpProxyEnvs', message, fix);
