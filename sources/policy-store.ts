/**
 * The policy files of `--policy`, read into documents, with the last good state kept (POLICY.md, loading):
 * a bad document never replaces its good predecessor, and never touches another's.
 */
import {readdirSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {checkDocuments, documentName, loadDocuments, type Document, type Finding} from '../policy/index.ts';
import {SallyportError} from '../runtime/errors.ts';
import {readRegularFile} from './regular-file.ts';

export interface PolicyFile {
  readonly file: string;
  readonly text: string;
}

/** The result of one reading of the files. */
export interface PolicyLoad {
  /** What is in force now: the good documents, and the good predecessors of bad ones. */
  readonly documents: readonly Document[];
  readonly findings: readonly Finding[];
  /** PATHs that could not be read; their documents stay as they were. */
  readonly unreadable: readonly {readonly path: string; readonly message: string}[];
}

/** Files of a directory that are policy documents. */
export const isPolicyFile = (name: string): boolean => /\.(ya?ml|json)$/.test(name) && !name.startsWith('.');

/** Reads PATH: a file, or a directory with everything below it. Throws the file system's error where PATH itself is gone. */
export function readPolicyFiles(path: string): PolicyFile[] {
  if (!statSync(path).isDirectory()) return [{file: path, text: readRegularFile(path)}];
  const files: PolicyFile[] = [];
  // `..data` and its kind are how the kubelet swaps a ConfigMap: the files are reached by their plain names.
  for (const name of readdirSync(path).sort()) {
    if (name.startsWith('.')) continue;
    const entry = join(path, name);
    if (statSync(entry).isDirectory()) files.push(...readPolicyFiles(entry));
    else if (isPolicyFile(name)) files.push({file: entry, text: readRegularFile(entry)});
  }
  return files;
}

export class PolicyStore {
  readonly #paths: readonly string[];
  /** The good documents by PATH, so that a PATH that is gone keeps what it had. */
  #good = new Map<string, Map<string, Document>>();

  readonly #clusterDomain: string;

  constructor(paths: readonly string[], clusterDomain: string) {
    this.#paths = paths;
    this.#clusterDomain = clusterDomain;
  }

  /** Reads every PATH again. Never throws: what is wrong is in `findings` and `unreadable`. */
  load(): PolicyLoad {
    const findings: Finding[] = [];
    const unreadable: {path: string; message: string}[] = [];
    for (const path of this.#paths) {
      let files: PolicyFile[];
      try {
        files = readPolicyFiles(path);
      } catch (error) {
        unreadable.push({path, message: (error as Error).message});
        continue;
      }
      const before = this.#good.get(path) ?? new Map<string, Document>();
      const result = loadDocuments(files);
      findings.push(...result.findings);
      const now = new Map(result.documents.map((document) => [documentName(document), document]));
      const errors = result.findings.filter((finding) => finding.severity === 'error');
      const badObjects = new Set(errors.map((finding) => finding.object));
      // Where even the object's name could not be read, every good predecessor from that file stays.
      const badFiles = new Set(errors.filter((finding) => finding.object === null).map((finding) => finding.at.file));
      for (const [key, document] of before) {
        if (!now.has(key) && (badObjects.has(key) || badFiles.has(document.at.file))) now.set(key, document);
      }
      this.#good.set(path, now);
    }
    const all = [...this.#good.values()].flatMap((byKey) => [...byKey.values()]);
    findings.push(...checkDocuments(all, {clusterDomain: this.#clusterDomain}));
    // The same object under two PATHs is an error that checkDocuments reports; the first one stays in force.
    const byKey = new Map<string, Document>();
    for (const document of all) if (!byKey.has(documentName(document))) byKey.set(documentName(document), document);
    return {documents: [...byKey.values()], findings, unreadable};
  }
}

/** At start nothing is kept from before, so a bad document or an unreadable PATH is exit 3 (POLICY.md). */
export function requireGood(load: PolicyLoad, format: (finding: Finding) => string): void {
  const gone = load.unreadable[0];
  if (gone !== undefined)
    throw new SallyportError(
      'PolicyUnreadable',
      `--policy ${gone.path}: ${gone.message}`,
      'Give --policy a file or a directory that can be read.',
    );
  const errors = load.findings.filter((finding) => finding.severity === 'error');
  if (errors.length > 0)
    throw new SallyportError(
      'PolicyInvalid',
      `${errors.length} error${errors.length === 1 ? '' : 's'} in the policy files\n${errors.map(format).join('\n')}`,
      '',
    );
}
