/** What `sallyport mesh-config generate` makes of a text, as tests give it to istiod. */
import {meshSettings, type Settings} from '../../mesh-config/mesh-settings.ts';
import type {ProxyService} from '../../mesh-config/external-proxy.ts';
import type {Generated} from '../../mesh-config/objects.ts';
import {translate} from '../../mesh-config/translate.ts';
import {yamlOf} from '../../mesh-config/yaml.ts';
import {formatFinding, loadDocuments, type MeshEgressDocument, type UpstreamProxyDocument} from '../../policy/index.ts';

export interface FromIntent {
  readonly mesh: MeshEgressDocument;
  readonly proxies: readonly ProxyService[];
  readonly objects: readonly Generated[];
  readonly yaml: string;
  readonly settings: Settings;
}

/** Throws where the documents, or what would be made of them, have findings. */
export function fromIntent(text: string): FromIntent {
  const {documents, setups, findings} = loadDocuments([{file: 'intent.yaml', text}]);
  const mesh = setups[0]!;
  const proxies = documents.filter((one): one is UpstreamProxyDocument => one.kind === 'UpstreamProxy');
  const translated = findings.length > 0 ? {objects: [], proxies: [], findings} : translate(mesh, proxies);
  if (translated.findings.length > 0) throw new Error(translated.findings.map(formatFinding).join('\n'));
  const {objects, proxies: known} = translated;
  return {mesh, proxies: known, objects, yaml: yamlOf(objects), settings: meshSettings(mesh)};
}
